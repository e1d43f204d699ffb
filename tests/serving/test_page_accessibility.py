"""What axe-core finds on the page: names, roles, contrasts, landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import featx
from tests.serving.page import new_page, open_chromium, wait_for_pictures

pytest.importorskip("axe_playwright_python")
pytestmark = pytest.mark.slow

KEY = "photos/dark/image_3.png"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as browser:
        yield browser


def find_violations(page: Any) -> list[str]:
    """Return what axe-core finds, as sentences."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": TAGS}).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]


def open_view(page: Any, address: str, ready: str) -> None:
    page.goto(address)
    page.wait_for_selector(ready)
    page.wait_for_timeout(300)


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(
    chromium: Any, page_server: featx.Server, colours: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    found: dict[str, list[str]] = {}
    with new_page(chromium, page_server, viewport=size, color_scheme=colours) as page:
        for name, address, ready in (
            ("pictures", "/", ".cell[data-key]:not(.is-waiting)"),
            ("search", f"/?like={KEY}&add:2=photos/dark/image_6.png", ".query .bars"),
            ("map", "/?view=map", ".legend li"),
            ("duplicates", "/?view=duplicates", ".group-card"),
            ("findings", "/?view=findings", ".findings .card"),
            ("nothing", "/?path=nothing", ".state h2"),
        ):
            open_view(page, address, ready)
            found[name] = find_violations(page)
        open_view(page, "/", ".cell[data-key]:not(.is-waiting)")
        for name, key in (("keys", "?"), ("viewer", "v")):
            wait_for_pictures(page)
            page.focus(".cell[tabindex='0']")
            page.keyboard.press(key)
            page.wait_for_selector("dialog[open]")
            found[name] = find_violations(page)
            page.keyboard.press("Escape")
        if width < 1000:
            page.click("#filters-button")
            page.wait_for_timeout(400)
            found["filters"] = find_violations(page)
        page.evaluate("document.querySelector('main').append(document.createElement('img'))")
        assert any("image-alt" in one for one in find_violations(page))  # It does look.
    assert {name: one for name, one in found.items() if one} == {}
