"""Evaluation: what a model is worth on held-out data, what its samples are worth, and the pictures that show both."""
