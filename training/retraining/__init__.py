"""Train the next bundle from a running service's own data, promoted if it is not worse, or from a bundle of other data.

Start at `retrain` or `other_data.start_from`.
"""
