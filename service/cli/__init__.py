"""`clairo-serve` and its processes. Start at `commands`."""

import gc
import os
import sys

from clairo_core.errors import missing_extra

# OpenBLAS starts its threads when numpy is imported. `serve_alone` adds them once no worker is forked any more.
BLAS_VARIABLE = "OPENBLAS_NUM_THREADS"
_chosen = os.environ.get(BLAS_VARIABLE)
os.environ[BLAS_VARIABLE] = "1"
# The collector would look through all that is imported, again and again, now and whenever it looks through everything.
gc.disable()
try:
    from service.cli.commands import main
except ModuleNotFoundError as error:
    # Such as typer, where only clairo[client] is installed.
    if reason := missing_extra("clairo-serve", "serve", error):
        sys.exit(reason)
    raise
finally:
    gc.freeze()
    gc.enable()
    del os.environ[BLAS_VARIABLE]
    if _chosen is not None:
        os.environ[BLAS_VARIABLE] = _chosen

__all__ = ["main"]
