"""Offline: a dataset in, an evaluated bundle out. Start at `pipeline.run.train_bundle`."""
