"""Turn items into feature sets: encoders, fusion, behaviour, quantizer. Start at `describe_items`."""
