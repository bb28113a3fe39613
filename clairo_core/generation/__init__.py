"""Turn histories into the most probable items. `item_generator.ItemGenerator` is what every kind offers.

`token_generator` writes an item token by token: `t5` scores tokens, `trie` restricts them to items, `search` keeps the
best beams and fuses views. `recorded` is the same search as CUDA graphs.

`parallel` predicts all codes of an item at once, and scores every item or searches a graph of similar ones.
"""
