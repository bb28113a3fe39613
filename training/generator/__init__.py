"""Train the T5 that generates the next item's tokens. Start at `generator_stage`."""
