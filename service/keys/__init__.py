"""Who may call what: API keys, their scopes and rates, checked in one place; start at `authentication`."""
