"""Rank by counting: popularity, item-to-item Markov, EASE. Product parts and baselines alike."""
