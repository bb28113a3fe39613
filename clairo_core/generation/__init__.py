"""Turn encoded views of a history into the most probable items. Start at `search.beam_search.search`.

`t5` scores tokens, `trie` restricts them to items, `search` keeps the best beams and fuses views. `recorded` is the
same search as CUDA graphs.
"""
