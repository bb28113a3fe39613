"""Train the T5 that writes the next item's tokens. Start at `fit_generator`."""
