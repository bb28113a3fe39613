"""Turn a file or a query into an Arrow table of the columns asked for, exactly or not at all.

Start in `table_files`. Imports nothing of the other rooms of datasets.
"""
