"""Placements: rules that the service keeps by name, and a request under them. Start at `combine.combined`."""
