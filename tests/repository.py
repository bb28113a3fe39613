"""Where the project's files lie, wherever a test stands."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CLAIRO_SHARED", REPOSITORY.parent / "shared"))
"""Real data, beside the checkout."""
