"""Arrays on disk, and rows that grow in memory without copying what is there."""
