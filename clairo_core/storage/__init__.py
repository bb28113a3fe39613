"""Arrays on disk, files and folders replaced whole, and rows that grow in memory without copies.

Start at `array_folder` for a fitted part's state, at `growing_rows` for a table that the service extends.
"""
