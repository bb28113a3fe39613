"""Propagate writes to all processes: through Redis at once, through the store within two seconds."""
