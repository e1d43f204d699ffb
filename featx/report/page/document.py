"""The page around what a report shows: its head, its sections, and its file."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from featx.atomic import replace_file
from featx.errors import InvalidValue
from featx.files import describe_wrong_output, is_wrong_output
from featx.report.page.markup import Content, Markup, element, element_in_parts
from featx.version import __version__

_ENDINGS = (".html", ".htm")
_GENERATOR = "featx"
"""Value of ``<meta name="generator">``, by which a page is known that may be replaced."""

_HEAD_BYTES = 1024
"""A page says in this many first bytes what made it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading.

    Attributes:
        title: The heading.
        content: What is below it.
        is_half: Whether it stands beside its neighbour where there is room.
    """

    title: str
    content: Content
    is_half: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is written.

    Attributes:
        title: The heading of the page, and its name in a browser's tab.
        introduction: What is said before the first section.
        sections: Its parts; from three on, a list of them is above the first.
        notes: Small print below the last.
        script: A script that the page may run, and no other; empty for most pages.
    """

    title: str
    introduction: Content
    sections: tuple[Section, ...]
    notes: Content = ()
    script: str = ""

    def html(self) -> str:
        """Return the whole page: no address in it leads out of the file.

        Its content security policy allows the one style sheet inside, pictures inside and the
        script of the page, if it has one, and nothing else: no frame, no form, no request.

        Example:
            >>> page = Page("A <page>", "", (Section("One", "text"),)).html()
            >>> "<h1>A &lt;page&gt;</h1>" in page, "http" in page.replace("http-equiv", "")
            (True, False)
        """
        return "".join(self.parts())

    def parts(self) -> Iterator[str]:
        """Yield the page of `html` in parts: content that is made on demand never is whole."""
        style = _read_style()
        head = [
            element("meta", charset="utf-8"),
            element("meta", name="generator", content=f"{_GENERATOR} {__version__}"),
            _meta_policy(style, self.script),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", self.title),
            element("style", Markup(style)),
        ]
        body: list[Content] = [
            element("a", "Skip to the content", href="#content", class_="skip"),
            element("header", element("h1", self.title), self.introduction, self._contents()),
            element_in_parts("main", _arrange(self.sections), id="content", tabindex=-1),
            element_in_parts("footer", self.notes, element("p", f"Made by featx {__version__}.")),
            element("script", Markup(self.script)) if self.script else "",
        ]
        yield "<!DOCTYPE html>\n"
        yield from element_in_parts(
            "html", element("head", head), "\n", element_in_parts("body", body), lang="en"
        )
        yield "\n"

    def _contents(self) -> Content:
        if len(self.sections) < 3:
            return ()
        links = [
            element("li", element("a", section.title, href=f"#s{number}"))
            for number, section in enumerate(self.sections, start=1)
        ]
        return element("nav", element("ul", links), aria_label="Contents")


def check_page_path(path: Path, name: str = "report") -> None:
    """Refuse a path for a page that is not HTML, or that something else than a page of featx has.

    Args:
        path: The path.
        name: The option that gave it.

    Raises:
        InvalidValue: Says what to do.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise InvalidValue(f"A report is an HTML file: NAME.html. Received: {str(path)!r}.")
    if is_wrong_output(path):
        raise InvalidValue(describe_wrong_output(path, name))
    if path.exists() and not _is_page(path):
        raise InvalidValue(
            f"{str(path)!r} exists and is not a page of featx; it is left alone. Choose another "
            "name for the report."
        )


def write_page(page: Page, path: Path) -> None:
    """Write a page, whole or not at all.

    Raises:
        InvalidValue: If the path cannot be that of a page (see `check_page_path`), or cannot be
            written.
    """
    check_page_path(path)
    try:
        with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(page.parts())
    except OSError as error:
        raise InvalidValue(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def _is_page(path: Path) -> bool:
    if not path.is_file():  # Opening a named pipe would wait for ever.
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return f'<meta name="generator" content="{_GENERATOR} '.encode() in head


def _arrange(sections: Iterable[Section]) -> Iterator[Content]:
    """Yield the sections; halves that follow each other share a row where there is room."""
    halves: list[Content] = []
    for number, section in enumerate(sections, start=1):
        made = element_in_parts(
            "section",
            element("h2", section.title, id=f"h{number}"),
            section.content,
            id=f"s{number}",
            aria_labelledby=f"h{number}",
        )
        if section.is_half:
            halves.append(made)
            continue
        if halves:
            yield element("div", halves, class_="columns")
            halves = []
        yield made
    if halves:
        yield element("div", halves, class_="columns")


@functools.cache
def _read_style() -> str:
    folder = Path(__file__).parent
    return "".join((folder / name).read_text("utf-8") for name in ("tokens.css", "style.css"))


def _meta_policy(style: str, script: str) -> Markup:
    allowed = f"; script-src '{_digest(script)}'" if script else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'{allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    return element("meta", http_equiv="Content-Security-Policy", content=policy)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
