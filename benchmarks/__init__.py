"""Measure CLAIRO, beside rivals where there are any; `python -m benchmarks.NAME`."""

import os

# As in the programs that are measured: threads that wait sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
