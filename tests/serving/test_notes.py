"""Decisions and tags: on the disk before the answer, whoever is killed, whoever else writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import featx
from featx.serving.noted import Note
from featx.serving.notes import NoteBook, NotesError
from tests.serving.client import Client

WRITER = """
import sys
from pathlib import Path
from featx.serving.noted import Note
from featx.serving.notes import NoteBook
book = NoteBook(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    book.add([Note(f"{sys.argv[2]}{number}.jpg", "tag", name) for name in ("one", "two")])
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.notes.jsonl"


def test_changes_add_up(path: Path) -> None:
    book = NoteBook(path)
    assert book.read().revision == 0
    book.add([Note("a.jpg", "tag", "x"), Note("a.jpg", "tag", "y"), Note("b.jpg", "keep")])
    book.add([Note("a.jpg", "untag", "x"), Note("a.jpg", "relabel", "rose", "label")])
    book.add([Note("a.jpg", "reject", None, "duplicate"), Note("b.jpg", "clear")])
    for one in (book, NoteBook(path)):
        assert list(one.read().of("a.jpg").tags) == ["y"]
        decisions = one.read().of("a.jpg").decisions
        assert {name: note.action for name, note in decisions.items()} == {
            "label": "relabel",
            "duplicate": "reject",
        }
        assert one.read().of("b.jpg").decisions == {}
        assert one.read().tags() == {"y": 1}
        assert one.read().revision == path.stat().st_size


def test_nothing_that_was_told_is_lost_when_the_writer_is_killed(path: Path) -> None:
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"{round_}-", "100000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.communicate()[0].splitlines(keepends=True)
        count = sum(line.endswith("\n") for line in told)
        book = NoteBook(path)
        for number in range(count):
            assert list(book.read().of(f"{round_}-{number}.jpg").tags) == ["one", "two"]
    assert len(NoteBook(path).read().of("0-0.jpg").tags) == 2


@pytest.mark.parametrize("left", [1, 5, 40])
def test_a_line_that_was_cut_off_is_no_line(path: Path, left: int) -> None:
    book = NoteBook(path)
    book.add([Note("a.jpg", "keep")])
    whole = path.read_bytes()
    book.add([Note("a.jpg", "reject"), Note("b.jpg", "reject")])
    path.write_bytes(path.read_bytes()[: len(whole) + left])
    again = NoteBook(path)
    latest = again.read().of("a.jpg").decision
    assert latest is not None
    assert latest.action == "keep"
    assert again.read().of("b.jpg").decision is None
    again.add([Note("c.jpg", "keep")])
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert all(json.loads(line) for line in lines)


def test_several_processes_write_one_file(path: Path) -> None:
    names = ("p", "q", "r")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, "30"], stdout=subprocess.DEVNULL
        )
        for name in names
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    book = NoteBook(path)
    for name in names:
        assert all(len(book.read().of(f"{name}{number}.jpg").tags) == 2 for number in range(30))


def test_another_process_is_seen(path: Path) -> None:
    book, other = NoteBook(path), NoteBook(path)
    before = book.read()
    other.add([Note("a.jpg", "keep")])
    assert before.of("a.jpg").decision is None
    assert book.read().of("a.jpg").decision is not None
    path.unlink()
    assert book.read().of("a.jpg").decision is None


def test_threads_write_one_after_the_other(path: Path) -> None:
    book = NoteBook(path)
    threads = [
        threading.Thread(target=lambda n=n: book.add([Note(f"{n}.jpg", "tag", "x")]))  # type: ignore[misc]
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert NoteBook(path).read().tags() == {"x": 20}


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n", "{}\n", "[]\n", '{"format": "featx-notes", "version": 2}\n', "null\n",
        '{"format": "featx-notes", "version": 1}\n{"time": "x"}\n',
        '{"format": "featx-notes", "version": 1}\n{"time": "x", "changes": [{"key": 3}]}\n',
        '{"format": "featx-notes", "version": 1}\n'
        '{"time": "x", "changes": [{"key": "a", "action": "delete"}]}\n',
        '{"format": "featx-notes", "version": 1}\n' + "[" * 100_000 + "\n", "\xff\n",
        '{"format": "featx-notes", "version": 1}\n'
        '{"time": "x", "changes": [{"key": "a", "action": "tag", "value": "\\ud800"}]}\n',
        "one line without an end", '{"format": "featx-notes", "version": 1}, and', "\xff",
    ],
)  # fmt: skip
def test_another_file_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    with pytest.raises(NotesError, match="move it away"):
        NoteBook(path).add([Note("a.jpg", "keep")])
    assert path.read_text(encoding="latin-1") == text


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "link to nothing", "device"])
def test_what_is_no_file_is_left_alone(path: Path, kind: str) -> None:
    """Who made the folder of a store could else have featx write anywhere, or wait for ever."""
    other = path.with_name("other")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(other)
        if kind == "link":
            other.touch()
    with pytest.raises(NotesError, match="move it away"):
        NoteBook(path).read()
    assert not other.exists() or other.read_bytes() == b""


def test_a_file_that_becomes_a_link_is_not_written(path: Path) -> None:
    book, other = NoteBook(path), path.with_name("other")
    path.symlink_to(other)
    with pytest.raises(NotesError, match="move it away"):
        book.add([Note("a.jpg", "keep")])
    assert not other.exists()


def test_a_first_line_that_was_cut_off_is_no_line(path: Path) -> None:
    NoteBook(path).add([Note("a.jpg", "keep")])
    path.write_bytes(path.read_bytes()[:20])
    NoteBook(path).add([Note("b.jpg", "keep")])
    assert [key for key, _ in NoteBook(path).read().all()] == ["b.jpg"]


KEY, SECOND, THIRD = (
    f"photos/{name}.png" for name in ("dark/image_6", "dark/image_8", "light/image_9")
)


def test_decisions_become_labels(server: featx.Server, client: Client, store: Path) -> None:
    changes = [
        {"key": KEY, "action": "relabel", "value": "light", "finding": "label"},
        {"key": SECOND, "action": "reject"},
        {"key": THIRD, "action": "tag", "value": "=1+1"},
    ]
    assert client.ask("/notes", {"changes": changes}).status == 200
    assert client.get("/items?decision=relabel").json["items"][0]["key"] == KEY
    assert client.get("/items?decision=none&label=dark").json["total"] == 10
    assert client.get("/items?tag=%3D1%2B1").json["total"] == 1
    table = store.parent / "decided.csv"
    table.write_bytes(client.get("/export").body)
    head = featx.fit_head(
        store, labels=table, layer="mean", kind="linear", output=store.parent / "h"
    )
    assert (head.num_train, head.num_unlabelled) == (18, 1)  # One to test with is rejected.
    manifest = store.parent / "manifest.csv"
    manifest.write_bytes(client.get("/export?paths=absolute&split=train").body)
    from featx.testing import toy_model

    featx.extract(manifest, model=toy_model(), layers=["mean"], output=store.parent / "g.h5")
    with featx.open_store(store.parent / "g.h5") as opened:
        labels = {
            Path(key).name: label for key, label in zip(opened.keys, opened.labels, strict=True)
        }
    assert labels["image_6.png"] == "light"
    safe = client.get("/export?csv_safe=true").body.decode()
    assert "image_9.png,light,train,light,,'=1+1\n" in safe
    assert "'=1+1" not in client.get("/export").body.decode()
    lines = client.get("/export?format=jsonl").body.decode().splitlines()
    assert [json.loads(line)["tags"] for line in lines if "image_9" in line] == [["=1+1"]]
    undo = [{"key": KEY, "action": "clear", "finding": "label"}, {"key": SECOND, "action": "clear"},
            {"key": THIRD, "action": "untag", "value": "=1+1"}]  # fmt: skip
    assert client.ask("/notes", {"changes": undo}).status == 200
    assert client.get("/notes").json["decisions"] == {"keep": 0, "relabel": 0, "reject": 0}


def test_all_changes_of_a_request_or_none(client: Client) -> None:
    before = client.get("/notes").json["revision"]
    good = {"key": KEY, "action": "keep"}
    for bad in (
        {"key": "no.png", "action": "keep"}, {"key": KEY, "action": "relabel"},
        {"key": KEY, "action": "keep", "value": "x"}, {"key": KEY, "action": "tag", "value": " "},
        {"key": KEY, "action": "delete"}, {"key": KEY, "action": "tag", "value": "x" * 201},
    ):  # fmt: skip
        assert client.ask("/notes", {"changes": [good, bad]}).status in (404, 422)
    assert client.ask("/notes", {"changes": []}).status == 422
    assert client.get("/notes").json["revision"] == before


def test_pictures_are_never_changed(client: Client, store: Path) -> None:
    photo = store.parent / KEY
    before = photo.stat().st_mtime_ns, photo.read_bytes(), sorted(photo.parent.iterdir())
    client.ask("/notes", {"changes": [{"key": KEY, "action": "reject"}]})
    client.ask("/notes", {"changes": [{"key": KEY, "action": "clear"}]})
    assert before == (photo.stat().st_mtime_ns, photo.read_bytes(), sorted(photo.parent.iterdir()))
