"""A shop under load and faults: its processes, its traffic, and a ledger of every acknowledged write."""
