"""Measure CLAIRO, beside rivals where there are any: `python -m benchmarks.ROOM.NAME`.

Rooms: `accuracy`, `speed` and `shop` hold the benchmarks and do not import each other; `service` starts and loads a
service for all three. `gpu` is one benchmark of all that a GPU must show.
`report` runs a benchmark and prints its table.
"""

import os

# As in the measured programs: waiting threads sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
