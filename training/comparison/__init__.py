"""Baselines, presets and bundles in one table, with a report. Start at `compare`."""
