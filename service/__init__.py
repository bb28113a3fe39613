"""The HTTP service over a `Recommender`; start reading at `service.app.create_app`."""

import os

# Threads that wait must sleep, not spin: with one of two cores taken by other work, spinning made requests ten times
# slower. OpenMP reads this when torch is loaded, which the modules of this package do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
