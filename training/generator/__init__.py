"""Train the T5 that generates the next item's tokens, or the network that predicts all its codes at once.

Start at `generator_stage`.
"""
