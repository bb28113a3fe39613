"""How fast: one part timed beside its rival."""
