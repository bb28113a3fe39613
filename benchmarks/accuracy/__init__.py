"""Accuracy on held-out items: which content, ranker or training finds them."""
