"""Imported libraries are out of the garbage collector's view."""

import subprocess
import sys


def test_the_collector_does_not_look_through_imported_libraries() -> None:
    code = (
        "import gc, service.cli; print(gc.isenabled(), gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 1_000)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "True", "True"]
