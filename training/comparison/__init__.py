"""Baselines, presets and bundles in one table, with an HTML report. Start at `run_comparison`."""
