"""From the tokens of a history to the most probable items. Start at `search.beam_search.search`.

`t5` computes, `trie` says which tokens can follow, `search` keeps the best beams and fuses views; `recorded` is the
same search as CUDA graphs.
"""
