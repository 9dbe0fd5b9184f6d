"""Checkpoints on disk: their configurations, their weights, and the model that they are of."""
