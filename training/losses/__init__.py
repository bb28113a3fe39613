"""Losses over all items or tokens, in bounded memory."""
