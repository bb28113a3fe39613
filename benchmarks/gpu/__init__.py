"""All that a GPU must show, as one command: `python -m benchmarks.gpu`.

`checklist` names the rows and their musts. `generate`, `serve`, `train` and `encode` measure them, each in a process of
its own that `run_parts` stops in time. Start at `__main__`.
"""
