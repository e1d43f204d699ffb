"""Roots: read from and written to what stores record, and found again after a move."""

from __future__ import annotations

from pathlib import Path

import pytest

from featx.images.roots import MEMORY, Root, RootKind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/data/photos", RootKind.DISK),
        ("/data/shard.tar", RootKind.DISK),
        (r"C:\photos", RootKind.DISK),
        ("s3://bucket/photos", RootKind.URL),
        ("simplecache::https://host/a", RootKind.URL),
        ("python:", RootKind.MEMORY),
    ],
)
def test_the_recorded_text_is_kept(text: str, kind: RootKind) -> None:
    root = Root.parse(text)
    assert (root.kind, str(root), Root.parse(str(root))) == (kind, text, root)
    assert (root.is_on_disk, root.is_in_memory) == (
        kind is RootKind.DISK,
        kind is RootKind.MEMORY,
    )


def test_only_a_root_on_disk_has_a_path() -> None:
    assert Root.parse("/data").path == Path("/data")
    for root in (MEMORY, Root.parse("s3://bucket")):
        with pytest.raises(ValueError, match="A root on disk is expected. Received: '"):
            _ = root.path
        assert not root.exists()
        assert root.relocate("anything", Path("/data"), "a.jpg") is root


def test_a_root_that_was_moved_is_the_one_that_holds_the_first_image(tmp_path: Path) -> None:
    recorded = Root.parse(tmp_path / "old")
    moved = Root.parse(tmp_path / "new" / "photos")
    folder = tmp_path / "new"
    assert recorded.relocate("photos", folder, "a.jpg") == recorded  # Neither is there.
    moved.path.mkdir(parents=True)
    assert recorded.relocate("photos", folder, "a.jpg") == moved
    recorded.path.mkdir()
    (recorded.path / "a.jpg").touch()
    assert recorded.relocate("photos", folder, "a.jpg") == recorded
    (moved.path / "a.jpg").touch()
    assert recorded.relocate("photos", folder, "a.jpg") == moved
    assert recorded.relocate("../old", folder, "a.jpg") == recorded


def test_an_archive_is_found_without_looking_into_it(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.tar").touch()
    recorded = Root.parse(tmp_path / "old" / "a.tar")
    found = recorded.relocate("a.tar", tmp_path / "new", "1.jpg")
    assert found.path == tmp_path / "new" / "a.tar"


def test_roots_are_the_same_by_text_or_by_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    one, other = Root.parse(tmp_path / "a"), Root.parse(tmp_path / "link")
    assert one != other
    assert one.is_same(other)
    assert not one.is_same(Root.parse("s3://a"))
    assert MEMORY.is_same(Root.parse("python:"))
