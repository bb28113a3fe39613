"""One module a step. A published step is never edited."""
