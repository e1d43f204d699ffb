"""The page of the server in a real browser, and a collection whose names want to do harm."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.testing import toy_model, write_images
from tests.browser import find_browser

HOSTILE = "<img src=x onerror=hacked()>"
CLASSES = ("dark", "light", HOSTILE)
COUNT = 90
PROBLEMS = "window.problems = []; window.hacked = () => window.problems.push('hacked');"


def write_page_collection(folder: Path) -> Path:
    """Write pictures of three classes, some twice or with a wrong class; return their store."""
    write_images(COUNT, folder / "photos", classes=CLASSES, size=(48, 36))
    lines = ["path,label,split,price,color"]
    for number in range(COUNT):
        label = CLASSES[number % 3]
        given = CLASSES[1] if number in (30, 60) else label  # 30 and 60 are dark.
        split = "test" if number % 5 == 0 else "train"
        color = "red" if number % 2 else '"><script>hacked()</script>'.replace('"', '""')
        lines.append(f'photos/{label}/image_{number}.png,{given},{split},{number},"{color}"')
    for number in (3, 6):
        copy = f"photos/dark/copy_{number}'&quot;<b>.png"
        shutil.copy(folder / f"photos/dark/image_{number}.png", folder / copy)
        lines.append(f"{copy},dark,train,,red")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    store = folder / "f.h5"
    layers = ["map", "mean"]
    featx.extract(folder / "list.csv", model=toy_model(), layers=layers, pool="none", output=store)
    featx.fit_head(store, layer="mean", kind="linear", output=folder / "head")
    return store


@contextmanager
def serve_page(folder: Path, **options: Any) -> Iterator[featx.Server]:
    """Serve such a collection."""
    store = write_page_collection(folder)
    with featx.serve(store, head=folder / "head", layer="mean", port=0, **options) as server:
        yield server


@contextmanager
def open_chromium() -> Iterator[Any]:
    """Yield a Chromium of the system, or skip the test where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(chromium: Any, server: featx.Server, **options: Any) -> Iterator[Any]:
    """Yield a page in a window of its own; at its end nothing may have gone wrong in it."""
    context = chromium.new_context(base_url=server.url, **options)
    context.set_default_timeout(15_000)
    page = context.new_page()
    wrong: list[str] = []
    page.add_init_script(PROBLEMS)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda one: wrong.append(one.text) if "Content Security" in one.text else 0)
    page.on("request", lambda one: check_address(one.url, server.url, wrong))
    try:
        yield page
        wrong += page.evaluate("window.problems || []")
    finally:
        context.close()
    assert not wrong, wrong


def check_address(address: str, base: str, wrong: list[str]) -> None:
    """Note addresses that lead elsewhere."""
    if not address.startswith((base, "blob:", "data:")):
        wrong.append(f"asked for {address}")


def wait_for_pictures(page: Any) -> None:
    """Wait until the list has been read."""
    page.wait_for_selector(".pictures:not(.is-busy) .cell[data-key]:not(.is-waiting)")


def wait_until(page: Any, expression: str) -> None:
    """Wait for an expression to hold; Playwright's own way is against the page's policy."""
    end = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def keys_shown(page: Any, count: int) -> list[str]:
    """Return the keys of the first pictures of the list."""
    wait_for_pictures(page)
    shown: list[str] = page.eval_on_selector_all(
        ".pictures .cell", "cells => cells.map((cell) => cell.dataset.key)"
    )
    return shown[:count]


def filtered_total(page: Any) -> int:
    """Return how many pictures the list says that there are."""
    wait_for_pictures(page)
    return int(page.inner_text(".pictures .status").split()[0].replace(",", ""))
