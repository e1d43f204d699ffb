"""The page of `featx serve`, used as a person uses it: the map, decisions, tags, and the token."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import featx
from tests.serving.client import Client
from tests.serving.page import (
    HOSTILE,
    filtered_total,
    new_page,
    open_chromium,
    wait_for_pictures,
    wait_until,
)

DARK = "photos/dark/image_0.png"
TOKEN = "a-token-of-many-letters"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def server(page_server: featx.Server) -> featx.Server:
    return page_server


@pytest.fixture
def page(chromium: Any, server: featx.Server) -> Iterator[Any]:
    options = {"viewport": {"width": 1300, "height": 800}, "color_scheme": "dark"}
    with new_page(chromium, server, **options) as page:
        yield page


def exported(server: featx.Server) -> dict[str, dict[str, str]]:
    text = Client(server.url).get("/export").body.decode()
    return {line["path"]: line for line in csv.DictReader(text.splitlines())}


@pytest.mark.slow
def test_what_is_circled_on_the_map_is_what_the_list_shows(page: Any, server: featx.Server) -> None:
    page.goto("/?view=map")
    page.wait_for_selector(".legend button")
    box = page.locator(".map-canvas").bounding_box()
    page.locator(".map-bar").get_by_role("button", name="Select").click()
    left, middle = box["x"] + 2, box["x"] + box["width"] / 2
    top, bottom = box["y"] + 2, box["y"] + box["height"] - 2
    page.mouse.move(left, top)
    page.mouse.down()
    for place in ((middle, top), (middle, bottom), (left, bottom)):
        page.mouse.move(*place, steps=5)
    page.mouse.up()
    page.wait_for_url("**lasso=*")
    lasso = page.evaluate("new URLSearchParams(location.search).get('lasso')")
    listed = Client(server.url).get(f"/items?lasso={lasso}&limit=500").json
    assert 0 < filtered_total(page) == listed["total"]
    page.keyboard.press("Escape")
    before = page.evaluate("document.querySelector('.map-canvas').toDataURL()")
    page.mouse.move(middle, (top + bottom) / 2)
    page.mouse.wheel(0, -600)
    wait_until(page, f"document.querySelector('.map-canvas').toDataURL().length != {len(before)}")
    page.locator(".map-canvas").focus()
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    page.wait_for_selector(".query")
    assert "view=map" in page.url
    assert "like=" in page.url


@pytest.mark.slow
def test_a_legend_filters_by_a_class_of_any_name(page: Any) -> None:
    page.goto("/?view=map")
    page.locator(".legend button", has_text=HOSTILE).click()
    page.wait_for_url("**label=*")
    assert filtered_total(page) == 30


@pytest.mark.slow
def test_duplicates_are_gone_through_with_the_keyboard(page: Any, server: featx.Server) -> None:
    page.goto("/?view=duplicates")
    page.locator(".duplicates .cell").first.focus()
    groups = Client(server.url).get("/duplicates").json["groups"]
    page.keyboard.press("b")
    wait_until(page, "document.querySelector('.duplicates .status').textContent.includes('1 done')")
    table, first = exported(server), groups[0]
    assert first["best"] in table
    assert not set(first["keys"]) - {first["best"]} & set(table)
    page.keyboard.press("z")
    wait_until(page, "document.querySelector('.duplicates .status').textContent.includes('0 done')")
    assert set(first["keys"]) <= set(exported(server))


def test_findings_are_decided_on_with_the_keyboard(page: Any, server: featx.Server) -> None:
    page.goto("/?view=findings")
    cells = page.locator(".findings .cell")
    cells.first.wait_for()
    page.keyboard.press("ArrowDown")  # Nothing has the keyboard yet: it goes to the first.
    wait_until(page, "document.activeElement.matches('.findings [data-index=\"0\"]')")
    findings = [one for one in Client(server.url).get("/audit").json["findings"] if one["key"]]
    key = findings[0]["key"]
    cell = page.locator(f'.findings .cell[aria-label*="{key}"]').first
    cell.focus()
    page.keyboard.press("l")
    page.locator("dialog input").fill(HOSTILE)
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('.findings .status').textContent.startsWith('1 of')")
    assert exported(server)[key]["label"] == HOSTILE
    cell.focus()
    page.keyboard.press("r")
    cell.locator(".reject[aria-pressed=true]").wait_for()
    assert key not in exported(server)
    page.get_by_role("button", name="Undo").click()  # The one there is, of the latest change.
    cell.locator(".reject[aria-pressed=false]").wait_for()
    assert exported(server)[key]["label"] == HOSTILE
    cell.focus()
    page.keyboard.press("r")
    cell.locator(".reject[aria-pressed=true]").wait_for()
    cell.focus()
    page.keyboard.press("c")
    cell.locator(".reject[aria-pressed=false]").wait_for()
    assert exported(server)[key]["label"] == findings[0]["given"]


@pytest.mark.slow
def test_tags_are_given_filtered_by_and_taken_away(page: Any, server: featx.Server) -> None:
    tag = "<b>see & think</b>"
    page.goto("/?label=dark")
    wait_for_pictures(page)
    page.locator(f'.cell[data-key="{DARK}"]').focus()
    page.keyboard.press("t")
    page.locator("dialog input").fill(tag)
    page.keyboard.press("Enter")
    page.locator(f'.cell[data-key="{DARK}"] .tagged').wait_for()
    assert Client(server.url).get("/notes").json["tags"] == {tag: 1}
    page.goto("/")
    page.locator("summary", has_text="Tag").click()
    page.get_by_role("checkbox", name=tag).check()
    page.wait_for_url("**tag=*")
    assert filtered_total(page) == 1
    page.locator(".pictures .cell").first.click()
    page.locator(".query .tags").get_by_role("button", name="Take the tag").click()
    page.wait_for_selector(".query .tags .chip", state="detached")
    assert Client(server.url).get("/notes").json["tags"] == {}


@pytest.mark.slow
def test_another_tab_sees_a_decision(chromium: Any, page: Any, server: featx.Server) -> None:
    page.goto(f"/?like={DARK}")
    page.locator(".query").get_by_role("button", name="Reject").click()
    page.locator(".query .reject[aria-pressed=true]").wait_for()
    assert page.evaluate("document.activeElement.className") == "decide reject"
    page.get_by_role("button", name="Undo").click()
    page.locator(".query .reject[aria-pressed=false]").wait_for()
    change = {"changes": [{"key": DARK, "action": "keep"}]}
    Client(server.url).ask("/notes", change)
    page.locator(".query .keep[aria-pressed=true]").wait_for()


@pytest.mark.slow
def test_the_table_is_saved(page: Any, tmp_path: Path) -> None:
    page.goto("/")
    wait_for_pictures(page)
    page.get_by_role("button", name="Export decisions").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the table").click()
    assert saved.value.suggested_filename == "labels.csv"
    saved.value.save_as(tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text("utf-8").startswith("path,label")


@pytest.mark.slow
def test_a_token_is_asked_for_once(
    chromium: Any, server: featx.Server, page_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    served = featx.serve(page_folder / "f.h5", layer="mean", port=0, token_file=tmp_path / "token")
    with served as guarded, new_page(chromium, guarded) as page:
        page.goto("/")
        page.get_by_role("textbox", name="Token").fill("a-wrong-token-of-letters")
        page.keyboard.press("Enter")
        wait_until(page, "document.querySelector('.login [role=alert]').textContent")
        assert "not the token" in page.inner_text(".login [role=alert]")
        page.get_by_role("textbox", name="Token").fill(TOKEN)
        page.keyboard.press("Enter")
        wait_for_pictures(page)
        page.reload()
        wait_for_pictures(page)
        assert page.locator("dialog").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("view", "answer"), [("map", "**/map"), ("findings", "**/audit?*")])
def test_what_takes_long_says_how_and_can_be_stopped(page: Any, view: str, answer: str) -> None:
    now = {"state": "computing", "stage": "vectors", "seconds": 3, "remarks": ["of a sample"]}
    page.route(answer, lambda route: route.fulfill(status=202, json=now))
    page.goto(f"/?view={view}")
    part = page.locator({"map": ".map-pane", "findings": ".findings"}[view])
    part.get_by_text("of a sample").wait_for()
    part.get_by_role("button", name="Stop").click()
    part.get_by_text("Stopped.").wait_for()
    page.unroute(answer)
    part.get_by_role("button", name="Begin again").click()
    part.locator({"map": ".legend button", "findings": ".cell"}[view]).first.wait_for()
