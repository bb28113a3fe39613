"""Rank by counting: popularity, item-to-item Markov, EASE. Parts of every bundle, and baselines."""
