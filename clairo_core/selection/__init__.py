"""Choose among items: allowed, popular, filtered by attributes, diverse, or similar by embedding.

Start at `allowed_items` for what a request permits, at `item_filters.allowed_rows` for filters.
"""
