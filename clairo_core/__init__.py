"""Recommend by generating: from a user history to ranked items. No HTTP, no environment variables, no downloads.

Start at `recommender.Recommender.recommend_batch`.
"""
