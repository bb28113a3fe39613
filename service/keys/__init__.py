"""API keys, their scopes and rates. Start at `authentication`."""
