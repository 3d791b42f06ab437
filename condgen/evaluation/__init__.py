"""Evaluation: the likelihood of held-out data, the quality of samples, and the pictures that show them."""
