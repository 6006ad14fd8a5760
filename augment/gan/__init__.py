"""The room of the conditional GAN: networks, losses, training, checkpoints and the frozen generator."""
