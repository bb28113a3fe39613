"""Paths of the repository, of the real data beside it, and of what `make demo-bundle` writes."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CLAIRO_SHARED", REPOSITORY.parent / "shared"))
DEMO_BUNDLE = REPOSITORY / "bundles" / "demo"
MEASURED_DEMO_BUNDLE = REPOSITORY / "bundles" / "demo-measured"
"""The same before its refit, by `make bench`: a refitted bundle is not measured on its own data."""
DEMO_SHOP = REPOSITORY / "demo" / "shop"
