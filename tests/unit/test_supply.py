"""What a release promises: allowed licences, one version everywhere, and bounds on libraries read inside."""

import runpy
import tomllib

import pytest
import yaml

from tests.repository import REPOSITORY

SUPPLY = runpy.run_path(str(REPOSITORY / ".ci" / "supply.py"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "Apache-2.0 OR BSD-3-Clause",
        "BSD License",
        "LGPL-3.0-only",
        "MPL-2.0 AND MIT",
        "PSF-2.0",
        "ISC License (ISCL)",
    ],
)
def test_permissive_and_weak_copyleft_licences_are_allowed(licence: str) -> None:
    assert SUPPLY["is_allowed"](licence)


@pytest.mark.parametrize(
    "licence",
    ["", "GPL-3.0-or-later", "AGPL-3.0-only", "GNU General Public License v3 (GPLv3)", "SSPL-1.0", "Proprietary"],
)
def test_strong_copyleft_unknown_and_missing_licences_are_refused(licence: str) -> None:
    assert not SUPPLY["is_allowed"](licence)


def test_the_citation_gives_the_projects_version_and_licence() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_libraries_whose_insides_are_read_have_upper_bounds() -> None:
    extras = PROJECT["optional-dependencies"]
    bounded = [line for lines in extras.values() for line in lines if line.startswith(("transformers", "uvicorn"))]
    assert bounded
    assert all(",<" in line for line in bounded)
