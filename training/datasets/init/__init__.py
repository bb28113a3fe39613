"""Turn files of items and interactions into a dataset.toml to edit. Start at `write_description`."""

from training.datasets.init.write_description import Written, write_description

__all__ = ["Written", "write_description"]
