"""Check a dataset before training: all faults at once, then facts and advice. Start at `check_dataset`."""

from training.datasets.check.check_dataset import Check, check_dataset

__all__ = ["Check", "check_dataset"]
