"""Answer POST /recommend: cache, batcher, recommender, reranking, explanations.

Start at `recommendations.Recommendations.recommend`.
"""
