"""Splits, rankings of held-out items, metrics with intervals, slices. Start at `rankings`."""
