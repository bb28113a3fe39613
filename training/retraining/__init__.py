"""Train a running service's next bundle from its own data, and promote it if it is not worse. Start at `retrain`."""
