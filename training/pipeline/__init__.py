"""All stages in order, from a dataset to an evaluated bundle. Start at `run.train_bundle`."""
