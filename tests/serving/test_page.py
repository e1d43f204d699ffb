"""The page of `featx serve`, used as a person uses it: finding and filtering pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.report.page import Page, write_page
from tests.serving.client import Client
from tests.serving.page import (
    COUNT,
    HOSTILE,
    filtered_total,
    keys_shown,
    new_page,
    open_chromium,
    wait_for_pictures,
    wait_until,
)

DARK = "photos/dark/image_0.png"
DARK_CELL = f'.cell[data-key="{DARK}"]'
GIVE = """([data, kind, where]) => {
  const bytes = Uint8Array.from(data), transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "mine.png", { type: "image/png" }));
  const target = document.body;
  if (where === "paste") {
    target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
  } else for (const type of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true }));
  }
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def server(page_server: featx.Server) -> featx.Server:
    return page_server


@pytest.fixture
def page(chromium: Any, server: featx.Server) -> Iterator[Any]:
    with new_page(chromium, server, viewport={"width": 1200, "height": 800}) as page:
        page.goto("/")
        wait_for_pictures(page)
        yield page


@pytest.fixture
def picture(server: featx.Server) -> bytes:
    return Client(server.url).get(f"/pictures/{DARK}").body


def test_it_shows_all_pictures_with_their_classes_and_predictions(page: Any) -> None:
    assert filtered_total(page) == COUNT + 2
    page.goto("/?label=dark")
    first = page.locator(DARK_CELL)
    assert first.locator(".title").inner_text() == "dark"
    assert first.locator(".share").inner_text().endswith("%")
    assert first.get_attribute("aria-label").startswith(f"{DARK}, class dark, predicted dark")


def test_a_click_on_a_picture_finds_what_looks_like_it_and_back_returns(
    page: Any, server: featx.Server
) -> None:
    page.goto("/?label=dark")
    page.locator(DARK_CELL).click()
    page.wait_for_selector(".query")
    wait_until(page, "document.querySelector('.status').textContent.includes('alike')")
    found = keys_shown(page, 3)
    question = {"keys": [DARK], "k": 100, "label": ["dark"]}
    asked = Client(server.url).ask("/search", question).json["results"][0]
    assert found == [match["key"] for match in asked["matches"]][:3]
    assert page.url.endswith("/?like=photos%2Fdark%2Fimage_0.png&label=dark")
    assert page.locator(".query .bars li").first.inner_text().split()[0] == "dark"
    page.go_back()
    page.wait_for_selector(".query", state="hidden")
    assert DARK in keys_shown(page, 5)


@pytest.mark.parametrize(
    "way", ["choose", *(pytest.param(one, marks=pytest.mark.slow) for one in ("drop", "paste"))]
)
def test_a_picture_of_ones_own_is_searched_for(
    page: Any, server: featx.Server, picture: bytes, way: str
) -> None:
    asked = Client(server.url).upload("/search?k=100", picture).json["results"][0]
    found = [match["key"] for match in asked["matches"]][:3]
    if way == "choose":
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Search with a picture").click()
        file = {"name": "mine.png", "mimeType": "image/png", "buffer": picture}
        chooser.value.set_files(file)
    else:
        page.evaluate(GIVE, [list(picture), "image/png", way])
    page.wait_for_selector(".query .stage img[src^=blob]")
    page.wait_for_selector(".query .bars li")
    assert keys_shown(page, 3) == found
    page.reload()  # This browser still has it.
    page.wait_for_selector(".query .stage img[src^=blob]")
    assert keys_shown(page, 3) == found


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_refused_in_the_servers_words(page: Any) -> None:
    page.evaluate(GIVE, [[1, 2, 3], "image/png", "drop"])
    assert "mine.png cannot be used" in page.inner_text(".state [role=alert]")
    page.keyboard.press("Escape")
    assert filtered_total(page) == COUNT + 2


@pytest.mark.slow
def test_a_part_is_chosen_by_dragging(page: Any) -> None:
    page.goto(f"/?like={DARK}")
    stage = page.locator(".stage img")
    stage.wait_for()
    wait_until(page, "document.querySelector('.stage img').naturalWidth > 0")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    with page.expect_request("**/search") as asked:
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"])
        page.mouse.up()
    x, y, width, height = (
        float(part[:-1]) for part in asked.value.post_data_json["crop"].split(",")
    )
    assert (x, y, width, height) == pytest.approx((25, 25, 50, 50), abs=1.5)
    wait_for_pictures(page)
    assert "crop=" in page.url
    page.get_by_role("button", name="Whole picture").click()
    page.wait_for_selector(".crop", state="hidden")
    page.get_by_role("button", name="Choose a part").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**crop=27*")


@pytest.mark.slow
def test_pictures_are_added_and_subtracted(page: Any, server: featx.Server) -> None:
    page.goto(f"/?like={DARK}&label=light")
    wait_for_pictures(page)
    light = keys_shown(page, 1)[0]
    page.locator(".cell").first.focus()
    page.keyboard.press("+")
    page.wait_for_selector(".term.plus")
    wait_for_pictures(page)
    page.locator(".cell").nth(1).hover()
    page.locator(".cell").nth(1).get_by_role("button", name="Subtract").click()
    page.wait_for_selector(".term.minus")
    other = page.locator(".term.minus .term-name").get_attribute("title")
    question = {"keys": [DARK], "add": [{"key": light}], "subtract": [{"key": other}], "k": 100}
    asked = Client(server.url).ask("/search", question | {"label": ["light"]}).json["results"][0]
    assert keys_shown(page, 4) == [match["key"] for match in asked["matches"]][:4]
    weight = page.get_by_label(f"Weight of {light}")
    weight.fill("2.5")
    weight.press("Enter")
    wait_until(page, "location.search.includes('add%3A2.5=')")
    question["add"][0]["weight"] = 2.5
    asked = Client(server.url).ask("/search", question | {"label": ["light"]}).json["results"][0]
    for _ in range(2):  # The address holds it.
        assert keys_shown(page, 4) == [match["key"] for match in asked["matches"]][:4]
        page.reload()
        assert page.get_by_label(f"Weight of {light}").input_value() == "2.5"
    page.goto(f"/?like={DARK}&add%3A1e-7={light}&subtract={other}")  # So small ones are written.
    assert page.get_by_label(f"Weight of {light}").input_value() == "1e-7"
    page.locator(".term.minus").get_by_role("button", name="Leave").click()
    page.wait_for_selector(".term.minus", state="detached")
    assert "subtract" not in page.url


@pytest.mark.slow
def test_what_is_not_in_the_store_and_what_cannot_be_seen_is_shown(
    page: Any, server: featx.Server
) -> None:
    page.goto("/?like=missing.png")
    assert page.inner_text(".state h2") == "This picture is not in the store"
    assert page.locator(".toast, .query-about button").count() == 0
    page.get_by_role("button", name="Show all pictures").click()
    assert filtered_total(page) == COUNT + 2
    client, change = Client(server.url), {"key": DARK, "value": "gnp\u202ephoto"}
    client.ask("/notes", {"changes": [change | {"action": "tag"}]})
    page.goto(f"/?like={DARK}")
    page.wait_for_selector(".query .bars")
    assert "gnp\\u202ephoto" in page.inner_text(".query")
    assert "The head “head” says" in page.inner_text(".query .bars h3")
    client.ask("/notes", {"changes": [change | {"action": "untag"}]})


def test_filters_of_every_kind_hold_at_once_and_are_in_the_address(
    page: Any, server: featx.Server
) -> None:
    page.get_by_role("checkbox", name="dark").check()
    page.wait_for_url("**label=dark*")
    page.get_by_role("checkbox", name="train").check()
    page.locator("summary", has_text="price").click()
    page.get_by_label("price: at most").fill("50")
    page.keyboard.press("Enter")
    page.locator("summary", has_text="color").click()
    page.get_by_role("checkbox", name="red").check()
    page.locator("summary", has_text="Folder").click()
    page.get_by_label("File name or folder").fill("*_2?.png")
    page.keyboard.press("Enter")
    page.wait_for_url("**path=*")
    asked = {
        "label": ["dark"], "split": ["train"], "path": ["*_2?.png"],
        "where_column": "price <= 50 and color == 'red'", "keys": [DARK], "k": 50,
    }  # fmt: skip
    matches = Client(server.url).ask("/search", asked).json["results"][0]["matches"]
    total = filtered_total(page)
    assert 0 < total == len(matches) + (DARK in {one["key"] for one in matches})
    address = page.url
    page.goto("/")
    page.goto(address)
    assert filtered_total(page) == total
    assert page.locator(".chips .chip").count() == 5
    page.locator(".chips .chip", has_text="price").get_by_role("button").click()
    wait_until(page, "!location.search.includes('price')")
    page.get_by_role("button", name="Clear").click()
    wait_until(page, "!location.search")
    assert filtered_total(page) == COUNT + 2


@pytest.mark.slow
def test_a_folder_with_marks_of_patterns_in_its_name_is_filtered_by(page: Any) -> None:
    page.locator("summary", has_text="Folder").click()
    page.get_by_role("checkbox", name=f"photos/{HOSTILE}").check()
    page.wait_for_url("**path=*")
    assert filtered_total(page) == COUNT / 3


def test_matches_show_where_they_match(page: Any) -> None:
    page.goto(f"/?like={DARK}")
    wait_for_pictures(page)
    page.get_by_role("button", name="Where it matches").click()
    outline = page.locator(".cell .outline").first
    outline.wait_for()
    assert outline.get_attribute("viewBox") == "0 0 48 36"
    assert float(outline.locator(".frame").get_attribute("width")) > 0


def test_the_keyboard_reaches_every_picture_and_one_is_tabbed_to(page: Any) -> None:
    page.locator(".cell").first.focus()
    assert page.locator(".cell[tabindex='0']").count() == 1
    columns = int(page.locator(".pictures .area").get_attribute("aria-colcount"))
    at = "Number(document.activeElement.dataset.index)"
    for key, index in (
        ("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("ArrowUp", 0),
        ("End", columns - 1), ("Control+End", COUNT + 1), ("Control+Home", 0),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert page.evaluate(at) == index, key
    page.keyboard.press("PageDown")
    assert page.evaluate(at) > columns
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("v")
    page.wait_for_selector(".viewer img")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert page.evaluate(at) > columns
    page.keyboard.press("Enter")
    page.wait_for_selector(".query")
    page.keyboard.press("?")
    assert "Shortcuts" in page.inner_text("dialog h2")


@pytest.mark.slow
def test_a_screen_reader_meets_landmarks_names_and_news(page: Any) -> None:
    page.locator(".cell").first.click()
    page.wait_for_selector(".query .decisions")
    seen = page.locator("body").aria_snapshot()
    landmarks = ("banner", 'navigation "Views"', 'complementary "Filters"', "main", "status")
    for part in (*landmarks, 'grid "Pictures"'):
        assert part in seen, part
    unnamed = "button,a,input,select,[role=gridcell]"
    nameless = page.eval_on_selector_all(
        unnamed,
        """all => all.filter((one) => one.offsetParent && !(one.getAttribute("aria-label")
          || one.textContent.trim() || one.title || one.labels?.length))
          .map((one) => one.outerHTML)""",
    )
    assert not nameless
    wait_until(page, "document.getElementById('live').textContent.includes('Most alike')")


@pytest.mark.slow
def test_a_million_rows_scroll_without_more_elements(page: Any) -> None:
    total = 1_000_000

    def answer(route: Any) -> None:
        from urllib.parse import parse_qs, urlsplit

        query = parse_qs(urlsplit(route.request.url).query)
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        items = [
            {"row": row, "key": f"{row}.png", "label": None, "split": None, "columns": {}}
            for row in range(offset, min(total, offset + limit))
        ]
        route.fulfill(json={"total": total, "offset": offset, "next": None, "items": items})

    page.route("**/items?*", answer)
    page.route("**/thumbnails/**", lambda route: route.fulfill(status=404, json={"error": "none"}))
    page.goto("/")
    wait_for_pictures(page)
    assert filtered_total(page) == total
    most = 0
    for share in (0.1, 0.5, 0.9):
        page.evaluate(
            "share => { const s = document.getElementById('pictures');"
            " s.scrollTop = share * (s.scrollHeight - s.clientHeight); }",
            share,
        )
        page.wait_for_timeout(250)
        wait_for_pictures(page)
        most = max(most, page.locator(".pictures .cell").count())
        shown = [int(key.removesuffix(".png")) for key in keys_shown(page, 3)]
        assert shown[0] == pytest.approx(share * total, rel=0.02)
        assert shown == list(range(shown[0], shown[0] + 3))
    page.locator(".pictures .cell").nth(8).focus()
    page.keyboard.press("Control+End")
    wait_until(page, "document.activeElement.dataset.key === '999999.png'")
    assert page.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight")
    found = {"searched": total, "results": [{"matches": [{"key": "7.png", "score": 0.5}]}]}
    page.route("**/search", lambda route: route.fulfill(json=found))
    with page.expect_request("**/search") as asked:
        page.keyboard.press("Enter")
    assert asked.value.post_data_json["skip"] == 0
    page.wait_for_selector('.cell[data-key="7.png"]')
    page.go_back()
    page.wait_for_selector('.cell[data-key="999999.png"]')
    page.locator('.cell[data-key="999999.png"]').focus()
    page.keyboard.press("Control+Home")
    wait_until(page, "document.activeElement.dataset.key === '0.png'")
    assert max(most, page.locator(".pictures .cell").count()) < 120


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 800, 390])
def test_it_fits_windows_of_all_widths(chromium: Any, server: featx.Server, width: int) -> None:
    with new_page(chromium, server, viewport={"width": width, "height": 800}) as page:
        for address in ("/", f"/?like={DARK}", "/?view=duplicates"):
            page.goto(address)
            page.wait_for_selector(".cell")
            wide = "[...document.querySelectorAll('.top, .top *, main, .cell, .query')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML)"  # noqa: E501
            assert page.evaluate(wide) == []
        if width < 1000:
            page.goto("/")
            wait_for_pictures(page)
            page.get_by_role("button", name="Filters").click()
            page.get_by_role("checkbox", name="dark").check()
            page.keyboard.press("Escape")
            page.wait_for_url("**label=dark*")
            wait_until(page, "document.activeElement.id === 'filters-button'")


@pytest.mark.slow
def test_errors_of_the_server_are_shown_in_its_words(page: Any) -> None:
    page.goto("/?where=nothing+%3C+3")
    assert "nothing" in page.inner_text(".state [role=alert]")
    page.route("**/items?*", lambda route: route.abort())
    page.goto("/")
    assert "does not answer" in page.inner_text(".state [role=alert]")
    page.unroute("**/items?*")
    page.get_by_role("button", name="Try again").click()
    assert filtered_total(page) == COUNT + 2
    page.goto("/?label=dark&split=nothing")
    assert "nothing" in page.inner_text(".state [role=alert]")
    page.goto("/?label=light&path=nothing*")
    assert "No pictures" in page.inner_text(".state h2")


def test_colours_are_those_of_the_reports(server: featx.Server, tmp_path: Path) -> None:
    tokens = Client(server.url).get("/page/tokens.css").body.decode()
    write_page(Page("report", [], []), tmp_path / "report.html")
    style = (tmp_path / "report.html").read_text("utf-8").partition("<style>")[2]
    assert "--paper" in tokens
    assert style.startswith(tokens)
