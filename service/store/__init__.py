"""Items, feedback, jobs, keys and catalogue versions in SQLite or PostgreSQL. Start at `store.Store`."""
