from __future__ import annotations

import os
from pathlib import Path

import pytest

from featx.atomic import replace_file, sync_path


def test_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "table.bin"
    with replace_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path  # The same file system: renaming is one step.
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["table.bin"]


def test_an_older_file_is_replaced_at_once(tmp_path: Path) -> None:
    target = tmp_path / "table.bin"
    target.write_bytes(b"old")
    with replace_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["table.bin"]


@pytest.mark.parametrize("error", [ValueError("bad row"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "table.bin"
    target.write_bytes(b"old")

    def write_half() -> None:
        with replace_file(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise error

    with pytest.raises(type(error)) as caught:
        write_half()
    assert caught.value is error
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["table.bin"]


def test_an_error_before_anything_is_written_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replace_file(tmp_path / "table.bin"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_writing_nothing_is_an_error_and_keeps_the_older_file(tmp_path: Path) -> None:
    target = tmp_path / "table.bin"
    target.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replace_file(target):
        pass
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["table.bin"]


def test_a_failing_rename_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "table.bin"
    target.write_bytes(b"old")

    def refuse(source: Path, destination: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError), replace_file(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["table.bin"]


def test_the_content_reaches_the_disk_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "content")
        fsync(descriptor)

    def record_replace(source: Path, destination: Path) -> None:
        steps.append("rename")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    with replace_file(tmp_path / "table.bin") as temporary:
        temporary.write_bytes(b"new")
    if os.path.isdir("/proc/self/fd"):
        assert steps == ["content", "rename", "folder"]
    else:
        assert steps.index("rename") == 1


def test_no_file_stays_open(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("open files are counted through /proc")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        with replace_file(tmp_path / "table.bin") as temporary:
            temporary.write_bytes(bytes([number]))
    sync_path(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_with_any_characters(tmp_path: Path) -> None:
    target = tmp_path / "Blumen ä\n花.h5"
    with replace_file(target) as temporary:
        temporary.write_bytes(b"new")
    assert os.listdir(tmp_path) == [target.name]
