"""The pages of the documents, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_MARKER = re.compile(r"<!-- (?:not run|test line): (?P<reason>.+?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: ``sh``, ``python``, ``text``, ...; empty where none is named.
        title: The name of the file that it shows, or None.
        text: Its lines.
        line: The number of the first of them in the page.
        reason: Why it is not run, as its marker says; None where it is run.
    """

    language: str
    title: str | None
    text: str
    line: int
    reason: str | None


def read_page(path: str) -> str:
    """Return the text of a page of docs/."""
    return (DOCS / path).read_text(encoding="utf-8")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def find_blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        marker = _MARKER.search(text, 0, match.start())
        language, _, rest = match["info"].strip("{ .}").partition(" ")
        title = re.search(r'title="(.+?)"', rest)
        yield Block(
            language=language,
            title=title[1] if title else None,
            text=match["text"],
            line=text.count("\n", 0, match.start("text")) + 1,
            reason=marker["reason"] if marker else None,
        )
