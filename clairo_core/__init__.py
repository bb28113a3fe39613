"""Recommend by generating: a user history in, ranked items out. No HTTP, no environment variables, no downloads.

Start at `recommender.Recommender.recommend_batch`; `build_recommender` puts the parts together.
"""
