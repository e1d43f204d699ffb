"""The site of the documents: built strictly, and complete without other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import featx
from tests.doc_pages import DOCS, PAGES, ROOT

pytestmark = pytest.mark.slow  # .ci/run runs them, when it has installed mkdocs.

LOADED = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
"""Element → the attribute whose address a browser loads by itself."""

EXTERNAL = {
    "https://apple.github.io/embedding-atlas/",
    "https://tfhub.dev/google/imagenet/inception_v1/feature_vector/4",
}
"""Addresses on other hosts that the pages link to; nobody checks that they exist."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},  # About the end of its development, in 2027.
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class _Addresses(HTMLParser):
    """Collects the addresses that a page loads, and those that it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if address := values.get(LOADED.get(tag, "")):
            self.loaded.append(address)
        if tag == "a" and values.get("href"):
            self.linked.append(str(values["href"]))


def _read(page: Path) -> _Addresses:
    addresses = _Addresses()
    addresses.feed(page.read_text(encoding="utf-8"))
    return addresses


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 25
    for page in pages:
        for address in _read(page).loaded:
            assert not re.match(r"(\w+:)?//", address), f"{page.name}: {address}"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*['\"]?(\w+:)?//", text), sheet.name


def test_links_to_other_hosts_are_those_that_are_listed(site: Path) -> None:
    linked = {address for page in site.rglob("*.html") for address in _read(page).linked}
    assert {address for address in linked if re.match(r"(\w+:)?//", address)} <= EXTERNAL


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    home = _read(site / "index.html").linked
    for page in PAGES:
        if page.is_relative_to(DOCS):
            built = page.relative_to(DOCS).with_suffix(".html")
            assert (site / built).is_file(), built
            assert built.as_posix() in home or built.name == "index.html", built


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in site.rglob("reference/*.html"))
    for name in featx.__all__:
        if not name.startswith("_"):
            assert re.search(rf'id="featx\.([\w.]+\.)?{name}"', text), name
