"""`clairo-serve` and its processes. Start at `commands`."""
