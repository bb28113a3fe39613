"""The settings of every stage, and the presets that fill them. Start at `load_preset.load_preset`."""
