"""What all users do, between two trainings: counts that live, popular and trending items, bought together, buy again.

Feedback comes in, in order of arrival; a recommender that knows it, and lists of items, go out. Start at
`live_counts.LiveCounts`.
"""
