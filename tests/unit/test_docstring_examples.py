"""Every example in a docstring gives what stands below it."""

import doctest
import importlib

import pytest

from tests.repository import REPOSITORY

MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for folder in ("clairo_client/**", "clairo_core/**", "training/**", "service/**", "benchmarks/**", "tests")
    for path in REPOSITORY.glob(f"{folder}/*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_true(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
