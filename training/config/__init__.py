"""The settings of every stage with their ranges, and presets. Start at `load_preset.load_preset`."""
