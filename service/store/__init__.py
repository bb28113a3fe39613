"""Where posted items and catalogue versions are kept; start at `service.store.store.Store`."""
