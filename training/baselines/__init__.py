"""Baselines of comparisons, for tables only.

Neural ones start at `fit_sequence_model`, those that count or solve a closed form at `counting_baselines`.
"""
