"""What the server answers is what the library and the command line answer."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow.ipc
import pytest
from PIL import Image

import featx
from featx.errors import UnknownName
from featx.index.text_column import Names
from featx.serving.row_columns import RowColumns
from featx.testing import toy_model, write_images
from tests.curation.stores import write_vectors
from tests.serving.client import Client


def as_lines(report: featx.SearchReport) -> list[list[tuple[Any, ...]]]:
    return [
        [(m.rank, m.key, pytest.approx(m.score, abs=1e-6), m.label) for m in result.matches]
        for result in report.results
    ]


def lines_of(answer: dict[str, Any]) -> list[list[tuple[Any, ...]]]:
    return [
        [(m["rank"], m["key"], m["score"], m["label"]) for m in result["matches"]]
        for result in answer["results"]
    ]


KEY, OTHER = "photos/dark/image_4.png", "photos/light/image_7.png"


@pytest.mark.parametrize(
    ("question", "keywords"),
    [
        ({}, {}),
        ({"k": 3, "skip": 2}, {"skip": 2}),
        ({"label": ["light"]}, {"label": "light"}),
        ({"path": ["*_1?.png"]}, {"path": "*_1?.png"}),
        ({"split": ["test"]}, {"split": "test"}),
        ({"where_column": "price < 9 or color == 'blue'"}, None),
        ({"unique": True}, {"unique": True}),
        ({"diverse": True}, {"diverse": True}),
        ({"add": [{"key": OTHER, "weight": 2}]}, {"add": f"2:{OTHER}"}),
        ({"subtract": [{"key": OTHER, "weight": 0.5}]}, {"subtract": f"0.5:{OTHER}"}),
        ({"crop": "0,0,50%,50%"}, {"crop": "0,0,50%,50%"}),
        ({"threshold": 0.9999}, {"threshold": 0.9999}),
    ],
)
def test_searches_are_those_of_the_library(
    client: Client, store: Path, question: dict[str, Any], keywords: dict[str, Any] | None
) -> None:
    if keywords is None:
        keywords = {"where_column": question["where_column"]}
    k = question.get("k", 10)
    expected = featx.search(keys=[KEY], features=store, layer="mean", k=k, **keywords)
    assert expected.results[0].matches
    answer = client.ask("/search", {"keys": [KEY], **question})
    assert answer.status == 200, answer.body
    assert lines_of(answer.json) == as_lines(expected)
    picture = store.parent / KEY
    expected = featx.search(picture, features=store, layer="mean", k=k, **keywords)
    answer = client.form("/search", question, {"q.png": picture.read_bytes()})
    assert lines_of(answer.json) == as_lines(expected)


def test_regions_of_matches(client: Client, store: Path) -> None:
    answer = client.ask("/search", {"keys": [KEY], "where": True, "k": 2}).json
    report = featx.search(keys=[KEY], features=store, layer="mean", k=2, where=True)
    boxes = [list(match.box or ()) for match in report.results[0].matches]
    assert [match["box"] for match in answer["results"][0]["matches"]] == boxes
    assert answer["results"][0]["matches"][0]["size"] == [8, 8]


def test_uploads_are_queries_or_terms(client: Client, store: Path) -> None:
    first, second = (store.parent / key for key in (KEY, OTHER))
    pictures = {"a.png": first.read_bytes(), "b.png": second.read_bytes()}
    question = {"subtract": [{"upload": 1, "weight": 0.25}], "k": 4}
    (result,) = client.form("/search", question, pictures).json["results"]
    assert (result["query"], result["terms"]) == ("a.png", ["-0.25:b.png"])
    expected = featx.search(first, features=store, layer="mean", k=4, subtract=f"0.25:{second}")
    assert lines_of({"results": [result]}) == as_lines(expected)
    both = client.form("/search", {"k": 1}, pictures).json["results"]
    assert [one["matches"][0]["label"] for one in both] == ["dark", "light"]


def test_predictions_are_those_of_the_library(client: Client, store: Path, picture: bytes) -> None:
    expected = featx.predict(store.parent / KEY, head=store.parent / "head").predictions[0]
    for answer in (
        client.upload("/predict?top=2", picture),
        client.ask("/predict", {"keys": [KEY], "top": 2}),
    ):
        (result,) = answer.json["results"]
        found = [(one["class"], one["probability"]) for one in result["predictions"]]
        pairs = zip(expected.classes, expected.probabilities, strict=True)
        assert found == [(name, pytest.approx(value, abs=1e-5)) for name, value in pairs]
    answer = client.ask("/predict", {"keys": [KEY], "novelty": True, "threshold": 0.1}).json
    assert {"unknown", "novelty"} < set(answer["results"][0]["predictions"][0])


def test_features_are_those_of_the_store(client: Client, store: Path, picture: bytes) -> None:
    with featx.open_store(store) as opened:
        expected = opened.to_numpy("mean", keys=[KEY])
    answer = client.form("/features", {"keys": [KEY]}, {"new.png": picture})
    names = [one["query"] for one in answer.json["results"]]
    assert names == [KEY, "new.png"]
    for one in answer.json["results"]:
        assert np.allclose(one["vector"], expected[0])
    answer = client.upload("/features", picture, Accept="application/x-npy")
    assert np.allclose(np.load(io.BytesIO(answer.body)), expected)
    answer = client.upload("/features", picture, Accept="application/vnd.apache.arrow.stream")
    table = pyarrow.ipc.open_stream(answer.body).read_all()
    assert table.column_names == ["name", "vector"]
    assert np.allclose(table["vector"].to_pylist(), expected)


def test_what_cannot_be_used_is_said(client: Client, picture: bytes) -> None:
    answer = client.form("/predict", {}, {"good.png": picture, "bad.png": b"no picture"}).json
    assert [one["query"] for one in answer["results"]] == ["good.png"]
    assert answer["failures"][0]["key"] == "bad.png"
    assert "format" in answer["failures"][0]["reason"]
    assert client.ask("/search", {"keys": ["no.png"]}).status == 404
    assert client.ask("/search", {}).status == 422
    said = client.ask("/search", {"keys": [KEY], "label": ["ligth"]}).error
    assert said.endswith("Did you mean light? What there is: dark and light.")
    assert client.ask("/search", {"keys": [KEY], "kk": 3}).error.startswith("kk: ")
    assert client.ask("/search", {"keys": [KEY], "add": [{"upload": 0}]}).status == 422
    nothing = client.ask("/search", {"keys": [KEY], "subtract": [{"key": KEY}]})
    assert (nothing.status, "cancel" in nothing.error) == (422, True)


@pytest.mark.parametrize("path", ["/predict", "/search", "/features"])
def test_a_picture_alone_that_cannot_be_used_is_refused(client: Client, path: str) -> None:
    one = client.upload(path, b"no picture")
    assert (one.status, "upload cannot be used: " in one.error) == (422, True)
    several = client.form(path, {}, {"a.png": b"no picture", "b.png": b"neither"})
    assert (several.status, several.json["results"]) == (200, [])
    assert [failure["key"] for failure in several.json["failures"]] == ["a.png", "b.png"]


def test_head_is_get_without_the_body(client: Client) -> None:
    for path in ("/", "/items?limit=3", f"/thumbnails/{KEY}", "/healthz"):
        head, whole = client.send("HEAD", path), client.get(path)
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Length", "Content-Type", "ETag"):
            assert head.headers.get(name) == whole.headers.get(name)
    assert client.send("HEAD", "/items/no.png").status == 404


@pytest.mark.parametrize(
    "path",
    ["/describe", f"/items/{KEY}", f"/thumbnails/{KEY}", f"/pictures/{KEY}", "/map", "/notes"],
)
def test_options_that_there_are_not_are_refused(client: Client, path: str) -> None:
    answer = client.get(f"{path}?x=1")
    assert (answer.status, answer.error.startswith("x: ")) == (422, True)


def test_options_of_json_are_not_in_the_address(client: Client) -> None:
    assert client.ask("/search?k=1", {"keys": [KEY]}).status == 422
    assert client.ask("/notes?x=1", {"changes": [{"key": KEY, "action": "keep"}]}).status == 422


def test_single_labels_of_images_that_have_several() -> None:
    labels = ["cat|dog", "cat", None, "|", "bird|cat", "dog"]
    keys = tuple(f"{number}.png" for number in range(len(labels)))
    columns = RowColumns(keys, Names.of(labels), Names.of([None] * len(labels)), {})
    assert columns.summary["single_labels"] == {"bird": 1, "cat": 3, "dog": 2}
    assert np.flatnonzero(columns.have_labels(["cat"])).tolist() == [0, 1, 4]
    assert np.flatnonzero(columns.have_labels(["dog", "bird"])).tolist() == [0, 4, 5]
    with pytest.raises(UnknownName, match="Did you mean cat"):
        columns.have_labels(["cta"])
    plain = RowColumns(keys, Names.of(["cat"] * len(keys)), Names.of([None] * len(keys)), {})
    assert plain.summary["single_labels"] == {}


def test_items_are_paged_and_filtered(client: Client, store: Path) -> None:
    with featx.open_store(store) as opened:
        keys = list(opened.keys)
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = client.get(f"/items?limit=7&offset={offset}").json
        assert page["total"] == len(keys)
        found += [item["key"] for item in page["items"]]
        offset = page["next"]
    assert found == keys
    page = client.get("/items?label=dark&split=train&where_column=" + quote("price > 10")).json
    expected = [k for k in keys if "dark" in k and int(k.split("_")[1][:-4]) in (14, 18, 22)]
    assert [item["key"] for item in page["items"]] == expected
    assert page["items"][0]["columns"] == {"price": 14.0, "color": "red"}
    assert client.get("/items?path=light&limit=1").json["total"] == 12
    item = client.get(f"/items/{KEY}").json
    assert item["prediction"]["classes"][0]["class"] == "dark"
    assert client.get("/items/no.png").status == 404


def test_pictures_and_thumbnails(client: Client, picture: bytes) -> None:
    assert client.get(f"/pictures/{KEY}").body == picture
    answer = client.get(f"/thumbnails/{KEY}")
    with Image.open(io.BytesIO(answer.body)) as image:
        assert (image.format, max(image.size)) == ("JPEG", 160)
    again = client.get(f"/thumbnails/{KEY}", If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_what_is_served_is_described(client: Client) -> None:
    known = client.get("/describe").json
    assert known["classes"] == {"dark": 12, "light": 12}
    assert known["splits"] == {"test": 6, "train": 18}
    assert known["folders"] == {"photos/dark": 12, "photos/light": 12}
    price, color = known["columns"]
    assert (price["least"], price["most"], color["values"]) == (1.0, 23.0, {"blue": 8, "red": 16})
    assert known["head"]["predicts_rows"] is True
    answer = client.get("/describe")
    assert client.get("/describe", If_None_Match=answer.headers["etag"]).status == 304


def wait_until_ready(client: Client, path: str) -> dict[str, Any]:
    for _ in range(300):
        answer = client.get(path)
        if answer.status != 202:
            assert answer.status == 200, answer.body
            return dict(answer.json)
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.1)
    raise AssertionError(path)


def test_map_duplicates_and_findings(client: Client, store: Path) -> None:
    known = wait_until_ready(client, "/map")
    count = known["count"]
    columns = np.frombuffer(client.get("/map/points").body, "<u4").reshape(5, count)
    x, y = columns[:2].view("<f4")
    cluster, label, row = columns[2:].view("<i4")
    assert x.min() >= 0
    assert y.max() <= 1
    assert sorted(row) == list(range(24))
    items = client.get("/items?limit=100").json["items"]
    assert [known["classes"][code] for code in label] == [items[one]["label"] for one in row]
    part = client.get("/items?cluster=0").json
    assert [item["row"] for item in part["items"]] == sorted(row[cluster == 0])
    lasso = client.get("/items?limit=100&lasso=-1,-1,2,-1,2,2,-1,2").json
    assert lasso["total"] == count
    left = client.get("/items?limit=100&lasso=-1,-1,0.5,-1,0.5,2,-1,2").json
    assert [item["row"] for item in left["items"]] == sorted(row[x < 0.5])
    groups = wait_until_ready(client, "/duplicates")
    expected = featx.find_duplicates(store).groups
    assert [group["keys"] for group in groups["groups"]] == [list(one.keys) for one in expected]
    findings = wait_until_ready(client, "/audit?limit=500")
    report = featx.audit(store)
    assert findings["counts"] == dict(report.counts)
    assert [one["key"] for one in findings["findings"]] == [one.key for one in report.findings]
    assert client.get("/audit?kind=nonsense").status == 422


def test_columns_of_every_kind(tmp_path: Path) -> None:
    write_images(4, tmp_path / "p")
    lines = ["path,size,share,note,good", "p/image_0.png,3,inf,a,true"]
    lines += ["p/image_1.png,,-inf,,false", "p/image_2.png,9007199254740993,,b,"]
    lines.append("p/image_3.png,-1,0.5,a,true")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    store = tmp_path / "f.h5"
    featx.extract(tmp_path / "list.csv", model=toy_model(), layers=["mean"], output=store)
    with featx.serve(store, port=0) as server:
        client = Client(server.url)
        items = client.get("/items").json["items"]
        assert [item["columns"]["share"] for item in items] == ["inf", "-inf", None, 0.5]
        assert [item["columns"]["note"] for item in items] == ["a", None, "b", "a"]
        for condition in (
            "size > 2", "size == 9007199254740993", "share < 1", "note == 'a'", "note != 'a'",
            "note is None", "share is None", "good", "not good", "key > 'p/image_1.png'",
            "size < share", "note in ('a', 'b') and size is not None",
        ):  # fmt: skip
            answer = client.get(f"/items?where_column={quote(condition)}")
            report = featx.search(keys=["p/image_0.png"], features=store, where_column=condition)
            keys = {match.key for match in report.results[0].matches}
            found = {item["key"] for item in answer.json["items"]}
            assert found - {"p/image_0.png"} == keys, condition
        known = {column["name"]: column for column in client.get("/describe").json["columns"]}
        assert (known["share"]["least"], known["note"]["values"]) == ("-inf", {"a": 2, "b": 1})


def test_names_with_line_breaks_and_maps_of_another_layer(tmp_path: Path) -> None:
    write_images(2, tmp_path / "p", classes=("dark\nroom",))
    key = "dark\nroom/new\nline\n.png"
    (tmp_path / "p/dark\nroom/image_0.png").rename(tmp_path / "p" / key)
    store = tmp_path / "f.h5"
    featx.extract(tmp_path / "p", model=toy_model(), layers=["map", "head/double"], output=store)
    for layer, has_maps in (("map", True), ("head/double", False)):
        with featx.serve(store, layer=layer, port=0) as server:
            client = Client(server.url)
            assert client.get("/describe").json["has_maps"] is has_maps
            answer = client.ask("/search", {"keys": [key], "where": True})
            assert answer.status == (200 if has_maps else 422)
            assert client.get(f"/items/{quote(key)}").json["key"] == key
            assert client.get(f"/thumbnails/{quote(key)}").status == 200
            assert client.get(f"/pictures/{quote(key)}").body == (tmp_path / "p" / key).read_bytes()


def test_text_that_is_no_unicode_is_refused(client: Client) -> None:
    for body in (rb'{"keys": ["\ud800"]}', rb'{"keys": ["a"], "label": ["\udfff"]}'):
        answer = client.send("POST", "/search", body, {"Content-Type": "application/json"})
        assert answer.status in (404, 422)
    body = b'{"changes": [{"key": "%s", "action": "tag", "value": "\\ud800"}]}' % KEY.encode()
    answer = client.send("POST", "/notes", body, {"Content-Type": "application/json"})
    assert answer.status == 422


def test_a_store_whose_model_is_gone_and_whose_features_are_not_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    values[3] = np.nan
    store = write_vectors(tmp_path / "f.h5", values)
    with featx.serve(store, port=0) as server:
        client = Client(server.url)
        found = client.ask("/search", {"keys": ["000000.png", "000003.png"]}).json["results"]
        assert [len(result["matches"]) for result in found] == [4, 0]
        answer = client.ask("/features", {"keys": ["000000.png", "000003.png"]}).json
        assert [one["query"] for one in answer["results"]] == ["000000.png"]
        assert answer["failures"] == [
            {"key": "000003.png", "reason": "its features are NaN or infinite"}
        ]
        for path in ("/search", "/features"):
            answer = client.upload(path, b"picture")
            assert answer.status == 503
            assert "net.keras" not in answer.error  # Its place is for the log.
