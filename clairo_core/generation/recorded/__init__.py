"""The beam search as recorded CUDA graphs: fixed shapes, no synchronization with the host between steps.

Start at `recorded_search.record_search`. No GPU has run it yet: tests replay it on CPU with a fake recorder and compare
it with `search.beam_search`. On a CUDA machine this command compares both searches and times them:

    python -m benchmarks.speed.generate --device cuda
"""
