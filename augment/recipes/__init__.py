"""Samples made from a class's own real images: repeats, classic augmentation, SMOTE; and which class gets which."""
