"""Where the project's files lie, and the real data beside them."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CLAIRO_SHARED", REPOSITORY.parent / "shared"))
