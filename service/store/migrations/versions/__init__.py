"""One module per step. Never edit a published step."""
