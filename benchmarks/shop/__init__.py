"""A shop under load and faults: processes, traffic, and what clients saw."""
