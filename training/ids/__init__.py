"""Semantic ids as a product of their own: make, judge, import and export them.

Start at `item_ids.ItemIds`; `make_ids` makes it from a dataset, `import_ids` from published files, `export_ids` writes
it for other code, and `judge_ids` measures it.
"""
