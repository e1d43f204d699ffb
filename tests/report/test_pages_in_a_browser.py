"""Pages as a person's browser shows them: names do no harm, and everybody can read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.files import hash_content
from featx.images.roots import Root
from featx.report.page import Page, Section, element, write_page
from featx.report.page.charts import Bin, Point, draw_line, draw_reliability
from featx.report.page.gallery import Tile, make_gallery
from featx.report.page.markup import Markup
from featx.report.page.tables import Bar, Figure, make_bars, make_figures, make_matrix, make_table
from featx.report.page.thumbnails import Thumbnails
from featx.testing import write_images
from tests.browser import Browser

OWNED = "document.title='owned'"
HOSTILE = (
    f"</title></style><script>{OWNED}</script>",
    f'"><img src=x onerror="{OWNED}">',
    f"' onmouseover='{OWNED}' autofocus onfocus='{OWNED}",
    "<iframe src=https://example.org></iframe><!--",
    "javascript:alert(1)&lt;b&gt;\u202egnp.exe",
    "ورد أحمر",
    "unbroken" * 30,
)

CONTRASTS = """
(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    const layers = [];
    for (let one = node; one; one = one.parentElement) {
      const color = rgb(getComputedStyle(one).backgroundColor);
      if ((color[3] ?? 1) > 0) layers.push(color);
      if ((color[3] ?? 1) === 1) break;
    }
    return layers.reverse().reduce((below, [r, g, b, a = 1]) =>
      [r, g, b].map((c, i) => c * a + below[i] * (1 - a)), [255, 255, 255]);
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim())) continue;
    const style = getComputedStyle(node);
    const drawn = node instanceof SVGElement;
    if (node.tagName === "title") continue;
    const values = [rgb(drawn ? style.fill : style.color), behind(node)].map(light);
    const ratio = (Math.max(...values) + 0.05) / (Math.min(...values) + 0.05);
    found.push([ratio, `${node.tagName} ${node.className.baseVal ?? node.className}`]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
})()
"""
"""The lowest contrast of a text to what is behind it (WCAG 2.2, relative luminance)."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with one of everything, and hostile names wherever names are."""
    folder = tmp_path_factory.mktemp("page")
    images = write_images(2, folder / "photos", size=(60, 40))
    paths = sorted(images.iterdir())
    hashes = [hash_content(path.read_bytes()) for path in paths]
    tiles = [
        Tile(text, text, text, text, number % 3 > 0, hashes[number % 2])
        for number, text in enumerate(HOSTILE)
    ]
    tiles.append(Tile("gone.png", "rose", root=Root.parse(str(images))))
    tiles.append(Tile("https://example.org/a.png", "rose"))
    counts = np.arange(len(HOSTILE) ** 2).reshape(len(HOSTILE), -1)
    bars = [Bar(text, 0.5, (0.4, 0.7), (text,), text is HOSTILE[0]) for text in HOSTILE]
    points = [Point(10, 0.5, 0.4, 0.6), Point(1000, 0.9, 0.88, 0.92)]
    with Thumbnails() as thumbnails:
        for path in paths:
            thumbnails.get(str(path))
        gallery = make_gallery("Pictures", tiles, thumbnails)
    sections = (
        Section(HOSTILE[0], gallery),
        Section("Matrix", make_matrix("Confusions", HOSTILE, counts)),
        Section("Bars", make_bars("F1 of each class", ["class", "F1", "note"], bars)),
        Section("Table", make_table("Names", ["name", "n"], [[text, "1"] for text in HOSTILE])),
        Section(
            "Line",
            draw_line(HOSTILE[1], ("images", HOSTILE[2]), points, is_share=True),
            is_half=True,
        ),
        Section("Reliable", draw_reliability("Reliability", [Bin(0.5, 0.4, 9)]), is_half=True),
    )
    figures = make_figures([Figure("accuracy", "0.954", "0.92 to 0.98")])
    write_page(Page(HOSTILE[0], [element("p", HOSTILE[1]), figures], sections), folder / "a.html")
    return folder / "a.html"


def _texts(browser: Browser, selector: str) -> list[str]:
    """Return the texts of the elements that a selector finds."""
    script = f"[...document.querySelectorAll({selector!r})].map((node) => node.textContent)"
    return list(browser.evaluate(script))


def test_hostile_names_are_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.title") == HOSTILE[0]
    assert browser.evaluate("document.querySelector('h1').textContent") == HOSTILE[0]
    captions = _texts(browser, "figcaption .path")
    for caption, name in zip(
        captions, [*HOSTILE, "gone.png", "https://example.org/a.png"], strict=True
    ):
        assert name.endswith(caption.removeprefix("…"))  # Of long ones, the end is shown.
        assert caption.removeprefix("…")
    heads = "[...document.querySelectorAll('.matrix tbody th')]"
    read_out = browser.evaluate(f"{heads}.map((one) => one.getAttribute('aria-label'))")
    assert read_out == list(HOSTILE)
    for shown, name in zip(_texts(browser, ".matrix tbody th"), HOSTILE, strict=True):
        first, _, last = shown.partition("…")  # Of long ones, both ends are shown.
        assert name.startswith(first)
        assert name.endswith(last)
    alternatives = browser.evaluate("[...document.images].map((one) => one.alt)")
    assert alternatives == list(HOSTILE)
    attributes = browser.evaluate(
        "[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames())"
    )
    assert [name for name in attributes if name.startswith("on") or name == "style"] == []
    assert browser.evaluate("document.querySelectorAll('script, iframe, object').length") == 0


def test_nothing_is_asked_for_but_the_page(browser: Browser, page: Path) -> None:
    browser.open(page)
    addresses = [one for one in browser.requested() if not one.startswith("data:image/jpeg")]
    assert addresses == [page.as_uri()]
    assert _texts(browser, ".missing") == ["not there any more", "at a URL: not fetched"]


def test_the_policy_stops_what_escaping_would_have_missed(browser: Browser, tmp_path: Path) -> None:
    raw = Markup(
        f'<script>{OWNED}</script><img src="https://example.org/a.png" onerror="{OWNED}">'
        '<p id="p" style="color: red">text</p><style>p { color: red }</style>'
    )
    write_page(Page("safe", raw, ()), tmp_path / "a.html")
    browser.open(tmp_path / "a.html")
    assert browser.evaluate("document.title") == "safe"
    assert browser.evaluate("getComputedStyle(p).color") != "rgb(255, 0, 0)"
    assert browser.requested() == [(tmp_path / "a.html").as_uri()]


@pytest.mark.parametrize("width", [1440, 800, 390, 320])  # 320: 640 pixels at 200 %.
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    smallest = browser.evaluate(
        "Math.min(...[...document.querySelectorAll('.chart text')]"
        ".map((one) => one.getBoundingClientRect().height))"
    )
    assert smallest >= (8 if width > 320 else 6), "numbers of charts stay legible"


@pytest.mark.parametrize("dark", [False, True])
def test_all_texts_stand_out_in_both_schemes(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(251, 251, 250)") is not dark
    ratio, where = browser.evaluate(CONTRASTS)
    assert ratio >= 4.5, where


def test_a_keyboard_reaches_everything(browser: Browser, page: Path) -> None:
    browser.open(page, width=390)
    focused = list(_focus_all(browser))
    assert focused[0] == ("A", "Skip to the content", True)
    assert [tag for tag, _, _ in focused[1:7]] == ["A"] * 6, "the contents"
    labels = [label for tag, label, _ in focused if tag == "DIV"]
    assert labels == ["Confusions", "F1 of each class", "Names"], "tables that scroll"
    assert all(is_outlined for _, _, is_outlined in focused)


def _focus_all(browser: Browser) -> Iterator[tuple[str, str, bool]]:
    while True:
        browser.press("Tab")
        found: list[Any] = browser.evaluate(
            "((one) => [one.tagName, one.ariaLabel ?? one.textContent,"
            " getComputedStyle(one).outlineStyle === 'solid'"
            " && one.getBoundingClientRect().left >= 0])(document.activeElement)"
        )
        if found[0] == "BODY":
            return
        yield found[0], found[1], found[2]


def test_a_screen_reader_meets_landmarks_names_and_headers(browser: Browser, page: Path) -> None:
    browser.open(page)
    nodes = browser.accessible()
    roles = [role for role, _ in nodes]
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert roles.count(role) == 1, role
    assert ("table", "Confusions") in nodes
    assert ("columnheader", "F1") in nodes
    assert ("rowheader", "ورد أحمر") in nodes
    assert ("image", "Reliability") in nodes
    assert ("image", "right") in nodes, "colours are not all that tells right from wrong"
    assert ("image", HOSTILE[5]) in nodes
    assert browser.evaluate("document.documentElement.lang") == "en"
