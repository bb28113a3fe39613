"""Where the pieces of a stage run: in this process, in those that torchrun started, or on a Ray cluster.

A stage gives an engine either pieces that do not depend on one another (`map`) or a training whose processes average
their gradients (`fit`). The pieces are the same on every engine, so the result is too. Start at `engine.Engine`.
"""
