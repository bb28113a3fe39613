"""Train again from what a running service has; have it serve the result if that is not worse. Start at `retrain`."""
