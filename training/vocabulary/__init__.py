"""Learn merge rules from histories, append to them, report on them. Start at `vocabulary_stage`."""
