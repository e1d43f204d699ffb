"""Files that are replaced while they are served: whole answers of one version, old or new."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.serving import network, reloading
from featx.serving.row_columns import RowColumns
from featx.testing import toy_model, write_images
from tests.serving.client import Client


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, featx.Server]]:
    extract(tmp_path, 6)
    monkeypatch.setattr(reloading, "SECONDS", 0.1)
    with featx.serve(tmp_path / "f.h5", layer="mean", head=None, port=0) as server:
        yield tmp_path, server


def extract(folder: Path, count: int) -> None:
    write_images(count, folder / "photos", classes=("dark", "light"))
    featx.extract(folder / "photos", model=toy_model(), layers=["mean"], output=folder / "f.h5")


def test_a_store_that_grows_is_served_anew(served: tuple[Path, featx.Server]) -> None:
    folder, server = served
    client = Client(server.url)
    first = client.get("/describe")
    assert not server.reload()
    extract(folder, 10)
    for _ in range(100):  # It looks by itself.
        if client.get("/describe").json["num_images"] == 10:
            break
        time.sleep(0.1)
    second = client.get("/describe")
    assert second.json["num_images"] == 10
    assert second.headers["featx-version"] == second.json["version"]
    assert second.headers["etag"] != first.headers["etag"]
    assert client.get("/describe", If_None_Match=first.headers["etag"]).status == 200
    answer = client.ask("/search", {"keys": ["light/image_9.png"], "k": 20}).json
    assert (answer["index_size"], len(answer["results"][0]["matches"])) == (10, 9)
    assert featx.open_index(folder / "f.faiss").description.keys[-1] == "light/image_9.png"


def test_no_answer_is_of_two_versions(served: tuple[Path, featx.Server]) -> None:
    folder, server = served
    client = Client(server.url)
    sizes: dict[str, set[tuple[int, int, int]]] = {}
    failures: list[bytes] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answer = client.ask("/search", {"keys": ["dark/image_0.png"], "k": 100})
            if answer.status != 200:
                failures.append(answer.body)
                continue
            found = answer.json
            counts = (found["index_size"], found["searched"], len(found["results"][0]["matches"]))
            sizes.setdefault(answer.headers["featx-version"], set()).add(counts)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for count in (8, 10, 12):
        extract(folder, count)
        server.reload()
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    for counts in sizes.values():
        ((size, searched, matches),) = counts
        assert size == searched == matches + 1
    assert len(sizes) >= 2


def test_a_damaged_store_is_not_served(served: tuple[Path, featx.Server]) -> None:
    folder, server = served
    client = Client(server.url)
    good = folder / "good.h5"
    shutil.copy(folder / "f.h5", good)
    (folder / "bad.h5").write_bytes(b"no store")
    (folder / "bad.h5").replace(folder / "f.h5")
    assert server.reload()
    known = client.get("/describe").json
    assert (known["num_images"], known["problem"]) == (6, "files could not be reloaded")
    assert client.ask("/search", {"keys": ["dark/image_0.png"]}).status == 200
    good.replace(folder / "f.h5")
    assert server.reload()
    assert client.get("/describe").json["problem"] is None


def test_an_archive_that_grows_is_read_anew(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_images(2, photos)
    shutil.make_archive(str(photos), "zip", photos)
    featx.extract(f"{photos}.zip", model=toy_model(), layers=["mean"], output=tmp_path / "f.h5")
    with featx.serve(tmp_path / "f.h5", port=0) as server:
        client = Client(server.url)
        key = client.get("/items").json["items"][0]["key"]
        assert client.get(f"/pictures/{key}").status == 200
        write_images(4, photos)
        shutil.make_archive(str(photos), "zip", photos)
        featx.extract(f"{photos}.zip", model=toy_model(), layers=["mean"], output=tmp_path / "f.h5")
        server.reload()
        items = client.get("/items").json["items"]
        assert len(items) == 4
        for item in items:
            for route in ("thumbnails", "pictures"):
                assert client.get(f"/{route}/{item['key']}").status == 200


def test_a_picture_that_is_moved_keeps_tags_and_decisions(
    served: tuple[Path, featx.Server],
) -> None:
    folder, server = served
    client, old, new = Client(server.url), "dark/image_0.png", "moved/zero.png"
    changes = [
        {"key": old, "action": "tag", "value": "blurry"},
        {"key": old, "action": "relabel", "value": "light", "finding": "label"},
        {"key": "light/image_1.png", "action": "reject"},
    ]
    assert client.ask("/notes", {"changes": changes}).status == 200
    (folder / "photos/moved").mkdir()
    (folder / "photos" / old).rename(folder / "photos" / new)
    featx.extract(folder / "photos", model=toy_model(), layers=["mean"], output=folder / "f.h5")
    server.reload()
    assert [item["key"] for item in client.get("/items?tag=blurry").json["items"]] == [new]
    (decision,) = client.get(f"/items/{new}").json["decisions"]
    assert (decision["action"], decision["value"]) == ("relabel", "light")
    table = client.get("/export").body.decode()
    assert f"{new},light,moved,relabel,blurry\n" in table
    assert "light/image_1.png" not in table
    change = {"key": new, "action": "tag", "value": "seen"}
    assert client.ask("/notes", {"changes": [change]}).status == 200
    assert client.get(f"/items/{new}").json["tags"] == ["blurry", "seen"]
    assert client.get("/describe").json["tags"] == {"blurry": 1, "seen": 1}


def test_an_answer_names_the_notes_that_it_was_made_of(
    served: tuple[Path, featx.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(served[1].url)
    describe = RowColumns.describe

    def noted_meanwhile(columns: RowColumns, row: int) -> dict[str, Any]:
        monkeypatch.undo()
        change = {"key": "dark/image_0.png", "action": "tag", "value": "late"}
        assert client.ask("/notes", {"changes": [change]}).status == 200
        return describe(columns, row) | {"key": "another"}  # Notes of the others are read later.

    monkeypatch.setattr(RowColumns, "describe", noted_meanwhile)
    first = client.get("/items")
    again = client.get("/items", If_None_Match=first.headers["etag"])
    assert again.status == 200
    assert again.json["items"][0]["tags"] == ["late"]


def test_a_mistake_does_not_end_looking(
    served: tuple[Path, featx.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, server = served
    client = Client(server.url)
    failed = threading.Event()

    def fail(*_: Any) -> None:
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(reloading, "take_snapshot", fail)
    extract(folder, 8)
    assert failed.wait(10)
    monkeypatch.undo()
    extract(folder, 10)
    for _ in range(100):
        if client.get("/describe").json["num_images"] == 10:
            break
        time.sleep(0.1)
    assert client.get("/describe").json["num_images"] == 10


def test_a_network_that_fails_is_tried_again(
    served: tuple[Path, featx.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = served
    picture = (folder / "photos/dark/image_0.png").read_bytes()

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(network, "load_network", fail)
    with featx.serve(folder / "f.h5", head=None, port=0) as server:
        client = Client(server.url)
        assert client.upload("/features", picture).status == 500
        monkeypatch.undo()
        assert client.upload("/features", picture).status == 200


def test_a_head_that_is_fitted_again(served: tuple[Path, featx.Server], tmp_path: Path) -> None:
    folder, _ = served
    featx.fit_head(folder / "f.h5", layer="mean", kind="centroid", output=tmp_path / "head")
    with featx.serve(folder / "f.h5", head=tmp_path / "head", port=0) as server:
        client = Client(server.url)
        assert client.get("/describe").json["head"]["kind"] == "centroid"
        featx.fit_head(folder / "f.h5", layer="mean", kind="knn", output=tmp_path / "head")
        server.reload()
        assert client.get("/describe").json["head"]["kind"] == "knn"
        answer = client.ask("/predict", {"keys": ["dark/image_0.png"]})
        assert answer.json["results"][0]["predictions"][0]["class"] == "dark"


def test_a_head_that_nobody_named_may_be_damaged(
    served: tuple[Path, featx.Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = served
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "head.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with featx.serve(folder / "f.h5", port=0) as server:
        assert Client(server.url).get("/describe").json["head"] is None
    with pytest.raises(featx.FeatxError, match="head"):
        featx.serve(folder / "f.h5", head="head", port=0)


@pytest.mark.parametrize("host", ["::1", "localhost", "0.0.0.0"])
def test_other_addresses_of_this_machine(served: tuple[Path, featx.Server], host: str) -> None:
    folder, _ = served
    token = folder / "token.txt"
    token.write_text("correct-horse-battery-staple")
    try:
        server = featx.serve(folder / "f.h5", host=host, port=0, token_file=token)
    except OSError as error:
        pytest.skip(f"there is no such address here: {error}")
    with server:
        client = Client(server.url, Authorization="Bearer correct-horse-battery-staple")
        assert client.get("/describe").json["num_images"] == 6


def test_an_index_alone_finds_its_store(served: tuple[Path, featx.Server]) -> None:
    folder, _ = served
    with featx.serve(index=folder / "f.faiss", port=0) as server:
        client = Client(server.url)
        assert client.get("/items?label=dark").json["total"] == 3
        extract(folder, 8)
        server.reload()
        assert client.get("/items").json["total"] == 8
