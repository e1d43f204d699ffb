"""Tags and decisions of pictures that were renamed, moved or copied."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from featx.serving.noted import Note
from featx.serving.notes import NoteBook
from featx.serving.store_notes import MOST_COPIES, PlacedNotes

ROSE, TULIP, ASTER = (
    hashlib.blake2b(name, digest_size=16).hexdigest() for name in (b"rose", b"tulip", b"aster")
)


def version(pictures: Mapping[str, str]) -> Any:
    """A version of a store: keys and the hashes of their bytes."""
    keys = list(pictures)
    rows = {content: [keys.index(key) for key in keys if pictures[key] == content]
            for content in pictures.values()}  # fmt: skip
    find = {key: row for row, key in enumerate(keys)}.get
    return SimpleNamespace(
        version=repr(pictures),
        columns=SimpleNamespace(keys=keys, find=find),
        rows_of_content=lambda content: rows.get(content, []),
        content_of=lambda row: pictures[keys[row]],
    )


@pytest.fixture
def placed(tmp_path: Path) -> PlacedNotes:
    return PlacedNotes(NoteBook(tmp_path / "f.notes.jsonl"))


def tagged(placed: PlacedNotes, pictures: Mapping[str, str]) -> dict[str, list[str]]:
    notes = placed.read(version(pictures))
    return {key: list(notes.of(key).tags) for key in pictures if notes.of(key).tags}


def tag(placed: PlacedNotes, pictures: Mapping[str, str], key: str, name: str) -> None:
    copies = tuple(one for one in pictures if one != key and pictures[one] == pictures[key])
    note = Note(key, "tag", name, hash=pictures[key], copies=copies)
    placed.add(version(pictures), [note])


def test_a_renamed_picture_keeps_tags_and_decisions(placed: PlacedNotes) -> None:
    tag(placed, {"a.jpg": ROSE}, "a.jpg", "blurry")
    placed.add(version({"a.jpg": ROSE}), [Note("a.jpg", "relabel", "rose", "label", ROSE)])
    moved = {"new/b.jpg": ROSE, "c.jpg": TULIP}
    notes = placed.read(version(moved))
    assert list(notes.of("new/b.jpg").tags) == ["blurry"]
    decision = notes.of("new/b.jpg").decision
    assert decision is not None
    assert (decision.action, decision.value, decision.finding) == ("relabel", "rose", "label")
    assert [key for key, _ in notes.all()] == ["new/b.jpg"]
    assert not notes.of("c.jpg").tags
    assert tagged(placed, {"a.jpg": ROSE}) == {"a.jpg": ["blurry"]}  # It was moved back.


def test_other_bytes_take_nothing_over(placed: PlacedNotes) -> None:
    tag(placed, {"a.jpg": ROSE}, "a.jpg", "blurry")
    assert tagged(placed, {"b.jpg": TULIP}) == {}
    assert tagged(placed, {"a.jpg": TULIP}) == {"a.jpg": ["blurry"]}  # Its key comes first.


def test_a_copy_beside_it_is_another_picture(placed: PlacedNotes) -> None:
    """Who rejects one of two copies and deletes it has not rejected the other."""
    both = {"a.jpg": ROSE, "b.jpg": ROSE}
    tag(placed, both, "a.jpg", "reject this one")
    assert tagged(placed, {"b.jpg": ROSE}) == {}
    assert tagged(placed, {"b.jpg": ROSE, "c.jpg": ROSE}) == {"c.jpg": ["reject this one"]}
    tag(placed, both, "b.jpg", "keep this one")
    moved = {"x/a.jpg": ROSE, "x/b.jpg": ROSE}
    assert tagged(placed, moved) == {"x/a.jpg": ["reject this one"], "x/b.jpg": ["keep this one"]}
    half = {"b.jpg": ROSE, "x/b.jpg": ROSE}
    assert tagged(placed, half) == {"b.jpg": ["keep this one"], "x/b.jpg": ["reject this one"]}


def test_one_picture_takes_over_and_no_more(placed: PlacedNotes) -> None:
    tag(placed, {"a.jpg": ROSE}, "a.jpg", "x")
    assert tagged(placed, {"b.jpg": ROSE, "c.jpg": ROSE}) == {"b.jpg": ["x"]}
    assert tagged(placed, {"b.jpg": ROSE, "c/a.jpg": ROSE}) == {"c/a.jpg": ["x"]}


def test_many_copies_are_not_told_apart(placed: PlacedNotes) -> None:
    many = {f"{number}.jpg": ROSE for number in range(MOST_COPIES + 1)}
    tag(placed, many, "0.jpg", "x")
    assert tagged(placed, {"new.jpg": ROSE}) == {}


def test_what_is_decided_next_is_added_to_what_was_taken_over(placed: PlacedNotes) -> None:
    tag(placed, {"a.jpg": ROSE}, "a.jpg", "one")
    placed.add(version({"a.jpg": ROSE}), [Note("a.jpg", "keep", hash=ROSE)])
    moved = {"b.jpg": ROSE, "c.jpg": ROSE}
    before = placed.read(version(moved)).of("b.jpg").decision
    tag(placed, moved, "b.jpg", "two")
    assert tagged(placed, moved) == {"b.jpg": ["one", "two"]}
    after = placed.read(version(moved)).of("b.jpg").decision
    assert before is not None
    assert after == replace(before, key="b.jpg")  # Also when it was.
    tag(placed, moved, "c.jpg", "three")
    placed.add(version(moved), [Note("b.jpg", "untag", one, hash=ROSE) for one in ("one", "two")])
    assert tagged(placed, moved) == {"c.jpg": ["three"]}  # Nothing comes back from the old key.


def test_who_is_killed_while_it_is_taken_over_loses_nothing(
    placed: PlacedNotes, tmp_path: Path
) -> None:
    path, moved = tmp_path / "f.notes.jsonl", {"b.jpg": ROSE}
    tag(placed, {"a.jpg": ROSE}, "a.jpg", "one")
    begun = path.stat().st_size
    tag(placed, moved, "b.jpg", "two")
    whole = path.read_bytes()
    for end in range(begun, len(whole)):
        path.write_bytes(whole[:end])
        assert tagged(PlacedNotes(NoteBook(path)), moved) == {"b.jpg": ["one"]}
    path.write_bytes(whole)
    assert tagged(PlacedNotes(NoteBook(path)), moved) == {"b.jpg": ["one", "two"]}


def test_pictures_numbered_anew_keep_their_own(placed: PlacedNotes) -> None:
    """A key that is still there, but names another picture, does not give that one its notes."""
    before = {"1.jpg": TULIP, "2.jpg": ROSE}
    tag(placed, before, "1.jpg", "tulip")
    tag(placed, before, "2.jpg", "rose")
    swapped = {"1.jpg": ROSE, "2.jpg": TULIP}
    assert tagged(placed, swapped) == {"1.jpg": ["rose"], "2.jpg": ["tulip"]}
    assert sorted(key for key, _ in placed.read(version(swapped)).all()) == ["1.jpg", "2.jpg"]
    tag(placed, swapped, "1.jpg", "red")
    assert tagged(placed, swapped) == {"1.jpg": ["rose", "red"], "2.jpg": ["tulip"]}
    shifted = {"1.jpg": ASTER, "2.jpg": TULIP, "3.jpg": ROSE}
    assert tagged(placed, shifted) == {"2.jpg": ["tulip"], "3.jpg": ["rose", "red"]}
    tag(placed, shifted, "1.jpg", "aster")
    expected = {"1.jpg": ["aster"], "2.jpg": ["tulip"], "3.jpg": ["rose", "red"]}
    assert tagged(placed, shifted) == expected


def test_notes_that_nobody_takes_over_stay_with_their_key(placed: PlacedNotes) -> None:
    """Also where another one's would come there."""
    before = {"1.jpg": TULIP, "2.jpg": ROSE}
    tag(placed, before, "1.jpg", "tulip")
    tag(placed, before, "2.jpg", "rose")
    now = {"2.jpg": TULIP}
    assert tagged(placed, now) == {"2.jpg": ["rose"]}
    tag(placed, {"2.jpg": TULIP, "3.jpg": ROSE}, "3.jpg", "other")
    assert tagged(placed, {"2.jpg": TULIP, "3.jpg": ROSE})["3.jpg"] == ["rose", "other"]


def test_moved_copies_are_told_apart_by_their_folders(placed: PlacedNotes) -> None:
    tag(placed, {"x/1.jpg": ROSE, "y/1.jpg": ROSE}, "y/1.jpg", "reject")
    moved = {"new/x/1.jpg": ROSE, "new/y/1.jpg": ROSE}
    assert tagged(placed, moved) == {"new/y/1.jpg": ["reject"]}
