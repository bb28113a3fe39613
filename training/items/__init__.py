"""Turn items into feature sets: encode, fuse, quantize. Start at `describe_items`."""
