"""How many processes or threads find a core each."""

import os


def usable_cores() -> int:
    """Cores that this process may use; all of them on systems without affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
