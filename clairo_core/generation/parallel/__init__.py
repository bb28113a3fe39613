"""Generate items by all their codes at once: one pass over a history scores the codes of the whole catalogue.

`network` predicts codes, `id_graph` finds likely items without scoring all, `parallel_checkpoint` keeps both.
Start at `parallel_generator.ParallelGenerator`.
"""
