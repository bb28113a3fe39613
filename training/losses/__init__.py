"""Losses over all items or tokens, in memory that does not grow with them."""
