"""The blocks of docs/datasets.md, so that tests run what readers copy."""

import re
import textwrap

from tests.repository import REPOSITORY

PAGE = REPOSITORY / "docs" / "datasets.md"


def documented(beginning: str) -> str:
    """The one indented block that begins so."""
    page = PAGE.read_text(encoding="utf-8")
    blocks = [textwrap.dedent(block).strip("\n") for block in re.findall(r"(?:^    .*\n|^\n)+", page, re.MULTILINE)]
    (found,) = (block for block in blocks if block.startswith(beginning))
    return found
