"""Blocks of README.md and docs/, so that tests run what readers copy."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.repository import REPOSITORY

README = REPOSITORY / "README.md"
CONTRIBUTING = REPOSITORY / "CONTRIBUTING.md"
DOCS = REPOSITORY / "docs"
GENERATED_FROM_TESTED = ("api.md",)
"""Its commands are the examples of the OpenAPI document, which tests of the clients send."""
FENCED = re.compile(r"^```(\w*)(?: title=\"([^\"\n]*)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def name(self) -> str:
        """Where it stands, for messages and ids of tests."""
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and the pages of docs/ that are not generated from what other tests send."""
    return [README, CONTRIBUTING, *sorted(page for page in DOCS.glob("*.md") if page.name not in GENERATED_FROM_TESTED)]


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in order, of all languages or of these."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2] or "", found[3])
        for found in FENCED.finditer(text)
        if not languages or found[1] in languages
    ]


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages."""
    return [block for page in pages() for block in blocks_of(page, *languages)]


def documented(beginning: str) -> str:
    """The one block of docs/datasets.md that begins so."""
    (found,) = (block.text for block in blocks_of(DOCS / "datasets.md") if block.text.startswith(beginning))
    return found
