"""Generate items by all their codes at once: one pass over a history scores the whole catalogue, without beams.

`network` predicts codes, `parallel_checkpoint` is its folder. Start at `parallel_generator.ParallelGenerator`.
"""
