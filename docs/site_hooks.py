"""What the build of the site fills in: the table of modules, from their docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "featx"
MARK = "<!-- modules -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the table of modules in the place of its mark; mkdocs calls this for each page."""
    return markdown.replace(MARK, "\n".join(_tables())) if MARK in markdown else markdown


def _tables() -> Iterator[str]:
    for folder in [PACKAGE, *sorted(path.parent for path in PACKAGE.rglob("*/__init__.py"))]:
        name = ".".join(folder.relative_to(PACKAGE.parent).parts)
        yield f"\n## {name}\n\n{_purpose(folder / '__init__.py')}\n"
        yield "| module | purpose |\n|---|---|"
        for path in sorted(folder.glob("*.py")):
            if path.stem not in ("__init__", "__main__"):
                yield f"| `{path.stem}` | {_purpose(path)} |"


def _purpose(path: Path) -> str:
    """Return the first paragraph of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
