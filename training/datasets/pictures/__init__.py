"""Fetch the pictures that a dataset names by url, and check those that it has before training."""
