"""The room of judgement: a classifier of the user's own images, and what its features say of generated ones."""
