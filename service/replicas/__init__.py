"""Bring what one process writes to all others: through Redis at once, through the store within two seconds."""
