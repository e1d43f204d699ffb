"""Tar and zip archives: labels, refusals, damage."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.errors import ImageError, ImagesNotFound, InvalidValue
from featx.extraction import extract
from featx.images.roots import Root
from featx.images.sources import archives, find_images, tars, zips
from featx.images.sources.items import ImageSet
from featx.store import open_store
from featx.testing import write_images
from featx.testing.contracts.images import encode_png, make_pictures
from tests.images.source_files import write_tar, write_zip
from tests.real_data import REAL_DATA, needs_real_data

WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    ".tar": write_tar,
    ".tar.gz": lambda path, members: write_tar(path, members, "w:gz"),
    ".zip": write_zip,
}

PNG = make_pictures()[0].data


def keys_of(found: ImageSet) -> list[str]:
    return [item.key for item in found.items]


def failures_of(found: ImageSet) -> dict[str, str]:
    return {failure.key: failure.reason for failure in found.failures}


@pytest.fixture(params=sorted(WRITERS))
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    suffix: str = request.param
    return lambda members: WRITERS[suffix](tmp_path / f"photos{suffix}", members)


# ---- keys and labels ----


def test_keys_are_member_paths_and_labels_the_folders_below_the_common_one(
    write: Callable[[dict[str, bytes]], Path],
) -> None:
    names = ["./set/cat/1.png", "set//cat/deep/2.png", "set/dog/3.png", "set/4.png"]
    path = write(dict.fromkeys(names, PNG))
    found = find_images(path)
    assert found.root.path == path
    assert {item.key: item.label for item in found.items} == {
        "set/cat/1.png": "cat",
        "set/cat/deep/2.png": "cat",
        "set/dog/3.png": "dog",
        "set/4.png": None,
    }
    assert {item.mtime_ns for item in found.items} == {path.stat().st_mtime_ns}


def test_pictures_in_formats_that_are_not_read_are_counted(
    write: Callable[[dict[str, bytes]], Path],
) -> None:
    names = ["1.png", "2.CR2", "3.jxl", "__MACOSX/._2.cr2", "__MACOSX/1.png", "4.txt"]
    found = find_images(write(dict.fromkeys(names, PNG)))
    assert keys_of(found) == ["1.png"]
    (note,) = found.notes
    assert "does not read: 1 .cr2, 1 .jxl. To use them" in note


def test_hidden_members_and_other_files_are_skipped(
    write: Callable[[dict[str, bytes]], Path],
) -> None:
    path = write(dict.fromkeys(["a/1.png", "__x/._1.png", "a/.b/2.png", "notes.txt", "x.npy"], PNG))
    found = find_images(path)
    assert (keys_of(found), found.failures) == (["a/1.png"], ())


def test_paths_that_lead_out_are_failures(write: Callable[[dict[str, bytes]], Path]) -> None:
    bad = ["../out.png", "a/../../out.png", "/etc/abs.png", "C:\\windows.png", "a\\..\\b.png"]
    found = find_images(write(dict.fromkeys(["a/1.png", *bad, "z.png"], PNG)))
    assert keys_of(found) == ["a/1.png", "z.png"]
    failures = failures_of(found)
    assert sorted(failures) == sorted(bad)
    assert all("absolute" in reason or "leads out" in reason for reason in failures.values())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_of_two_members_of_one_path_the_last_counts(suffix: str, tmp_path: Path) -> None:
    first, last = (picture.data for picture in make_pictures()[:2])
    path = tmp_path / f"twice{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for data in (first, last):
                archive.writestr("a.png", data)
    else:
        mode: Any = "w:gz" if suffix == ".tar.gz" else "w"
        with tarfile.open(path, mode) as opened:
            for data in (first, last):
                info = tarfile.TarInfo("a.png")
                info.size = len(data)
                opened.addfile(info, io.BytesIO(data))
    found = find_images(path)
    assert [item.read_bytes() for item in found.items] == [last]
    (note,) = found.notes
    assert "holds 1 member twice, for example 'a.png': the last one counts" in note


def test_several_archives_have_their_names_in_front(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", {"cat/1.png": PNG, "dog/2.png": PNG})
    write_zip(tmp_path / "a.zip", {"1.png": PNG})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "3.png").write_bytes(PNG)
    found = find_images([tmp_path / "b.tar", tmp_path / "a.zip", tmp_path / "c"])
    assert found.root.path == tmp_path
    assert [(item.key, item.label) for item in found.items] == [
        ("a.zip/1.png", None),
        ("b.tar/cat/1.png", "cat"),
        ("b.tar/dog/2.png", "dog"),
        ("c/3.png", "c"),
    ]
    assert all(item.read_bytes() == PNG for item in found.items)
    # An archive that is not named is not gone.
    only = find_images([tmp_path / "b.tar", tmp_path / "c"])
    assert not only.is_gone("a.zip/1.png")
    assert only.is_gone("b.tar/cat/9.png")
    assert only.is_gone("c/9.png")


def test_a_glob_gives_the_same_keys_however_many_archives_there_are(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"1.png": PNG})
    assert keys_of(find_images(f"{tmp_path}/*.tar")) == ["0.tar/1.png"]
    write_tar(tmp_path / "1.tar", {"1.png": PNG})
    assert keys_of(find_images(f"{tmp_path}/*.tar")) == ["0.tar/1.png", "1.tar/1.png"]


def test_labels_of_a_webdataset(tmp_path: Path) -> None:
    members = {
        "000.png": PNG,
        "000.cls": b"3\n",
        "001.json": b'{"label": "cat"}',
        "001.seg.png": PNG,
        "002.png": PNG,
        "002.txt": b"a caption is no label",
        "003.png": PNG,
        "003.json": b"not json",
        "004.png": PNG,
        "004.json": b'["no", "dict"]',
        "004.cls": b"",
        "../005.cls": b"6",
    }
    found = find_images(write_tar(tmp_path / "shard.tar", members))
    assert [(item.key, item.label) for item in found.items] == [
        ("000.png", "3"),
        ("001.seg.png", "cat"),
        ("002.png", None),
        ("003.png", None),
        ("004.png", None),
    ]


# ---- refusals ----


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in [
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
            ("device.png", tarfile.CHRTYPE),
            ("folder.png", tarfile.DIRTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    found = find_images(path)
    assert keys_of(found) == ["good.png"]
    assert failures_of(found) == {
        "device.png": "not a regular file",
        "hard.png": "a link inside an archive: it is not followed",
        "link.png": "a link inside an archive: it is not followed",
        "pipe.png": "not a regular file",
    }


def test_zip_members_that_cannot_be_read_are_failures(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("lzma.png", PNG, zipfile.ZIP_LZMA)
        archive.writestr("bz2.png", PNG, zipfile.ZIP_BZIP2)
        archive.writestr("secret.png", PNG)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"secret.png") - 46
    data[entry + 8] |= 1  # encrypted
    path.write_bytes(data)
    found = find_images(path)
    assert [item.read_bytes() for item in found.items] == [PNG]
    reasons = failures_of(found)
    assert reasons["link.png"] == "a link inside an archive: it is not followed"
    assert reasons["lzma.png"].startswith("packed with method 14")
    assert reasons["secret.png"].startswith("it is encrypted")


def test_a_zip_bomb_is_a_failure_without_being_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bomb.png", "w", force_zip64=True) as stream:
            for _ in range(80):
                stream.write(bytes(1 << 20))
        archive.writestr("good.png", PNG)
    found = find_images(path)
    assert keys_of(found) == ["good.png"]
    assert "83,886,080 bytes" in failures_of(found)["bomb.png"]
    assert "zip bomb" in failures_of(found)["bomb.png"]


def test_a_zip_that_lies_about_sizes_is_unpacked_no_further(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "liar.zip", {"a.png": bytes(1 << 20)})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"a.png") - 46
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    (item,) = find_images(path).items
    with pytest.raises(ImageError, match="not those that were packed"):
        item.read_bytes()


def test_a_zip_member_packed_in_far_more_than_its_bytes_is_not_read(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "liar.zip", {"a.png": bytes(range(256)) * 64, "b.png": PNG}, zipfile.ZIP_STORED
    )
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"a.png") - 46
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    found = find_images(path)
    assert keys_of(found) == ["b.png"]
    assert failures_of(found)["a.png"].startswith("damaged: it claims 100 bytes, packed in 16,384")


def test_members_that_are_too_large_are_failures(
    write: Callable[[dict[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    found = find_images(write({"a.png": PNG, "large.png": bytes(1001)}))
    assert keys_of(found) == ["a.png"]
    reason = failures_of(found)["large.png"]
    assert reason == "it claims 1,001 bytes: at most 1,000 are read out of an archive"


@pytest.mark.parametrize("suffix", [".tar.zst", ".tar"])
def test_zstd_is_refused_with_what_to_do(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(InvalidValue, match=r"zstd .* Decompress it"):
        find_images(path)


def test_an_archive_without_pictures_is_nothing(
    write: Callable[[dict[str, bytes]], Path],
) -> None:
    with pytest.raises(ImagesNotFound, match="There are no images in"):
        find_images(write({"a.txt": b"x"}))


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["0.tar", "1.tar"], "only 2 archives: name them as '{}/*.tar'."),
        (["0.tar.gz"], "only 1 archive: name it as '{}/*.tar.gz'."),
        (["a/0.TGZ", "b.TGZ"], "only 2 archives: name them as '{}/**/*.TGZ'."),
        (["a.tar", "b.zip"], "only 2 archives: name them as '{}/*.tar' and '{}/*.zip'."),
    ],
)
def test_a_folder_of_archives_is_refused_with_the_glob_that_reads_them(
    names: list[str], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        path = tmp_path / "my[1] shards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".zip"):
            write_zip(path, {"1.png": PNG})
        else:
            write_tar(path, {"1.png": PNG}, "w" if name.endswith(".tar") else "w:gz")
    with pytest.raises(ImagesNotFound) as caught:
        find_images("my[1] shards")
    globs = advice.replace("{}", "my[[]1] shards")
    assert str(caught.value) == f"There are no images in the folder 'my[1] shards', {globs}"
    advised = re.findall(r"'([^']*)'", globs)
    assert len(find_images(advised).items) == len(names)


def test_a_folder_of_archives_beside_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(PNG)
    (tmp_path / "shards" / "sub").mkdir(parents=True)
    archive = write_tar(tmp_path / "shards" / "0.tar", {"2.png": PNG})
    found = find_images([tmp_path / "photos", tmp_path / "shards"])
    assert [item.key for item in found.items] == ["photos/1.png"]
    (note,) = found.notes
    assert note.startswith("There are no images in the folder ")
    assert note.endswith("shards/*.tar'.")
    # Not where they are read anyway, or are not wanted.
    assert find_images([tmp_path / "photos", tmp_path / "shards", archive]).notes == ()
    assert find_images([tmp_path / "photos", tmp_path / "shards"], exclude=["*.tar"]).notes == ()


def test_archives_in_the_same_folder_as_images_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.png").write_bytes(PNG)
    write_tar(folder / "0.tar", {"2.png": PNG})
    write_tar(folder / "1.tar", {"2.png": PNG})
    note = "In the folder 'photos', 2 archives are not read: to read them, name 'photos/*.tar' too."
    assert find_images("photos").notes == (note,)
    both = find_images(["photos", "photos/*.tar"])
    assert [item.key for item in both.items] == ["0.tar/2.png", "1.png", "1.tar/2.png"]
    assert both.notes == ()
    assert find_images("photos", exclude=["*.tar"]).notes == ()
    assert find_images("photos/1.png").notes == ()
    (folder / "sub").mkdir()
    write_tar(folder / "sub" / "2.tar", {"2.png": PNG})
    (note,) = find_images(["photos", "photos/sub"]).notes  # Not once more for the second.
    assert "3 archives are not read" in note


class _Asked(dict[str, bool]):
    """Counts how often it is asked; it cannot be gone through."""

    count = 0

    def __contains__(self, key: object) -> bool:
        self.count += 1
        return super().__contains__(key)

    def __iter__(self) -> Any:
        raise AssertionError("it has thousands of entries")

    items = __iter__


def test_which_of_many_archives_a_key_lies_in_is_known_at_once(tmp_path: Path) -> None:
    covered = _Asked({f"{number}.tar/": number % 2 == 0 for number in range(2000)})
    found = ImageSet(Root.parse(tmp_path), (), covered=covered)
    keys = ["1998.tar/cat/gone.jpg", "1999.tar/cat/damaged.jpg", "1998.tar.jpg"]
    assert [found.is_gone(key) for key in keys] == [True, False, True]
    assert covered.count <= 3 * 4


def test_split_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.png": PNG})
    with pytest.raises(InvalidValue, match=r"split='train' picks rows .* which has no splits"):
        find_images(path, split="train")


# ---- damage ----


def noise_members(count: int = 12) -> dict[str, bytes]:
    random.seed(3)
    return {f"{n:02d}.png": random.randbytes(3000) for n in range(count)}


def check_prefix(found: ImageSet, members: dict[str, bytes]) -> int:
    """What is found of a damaged archive is its beginning, byte for byte; return how much."""
    names = list(members)[: len(found.items)]
    assert keys_of(found) == names
    for item in found.items:
        assert item.read_bytes() == members[item.key]
    return len(names)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_an_archive_that_was_cut_off_gives_the_images_before_the_damage(
    suffix: str, tmp_path: Path
) -> None:
    members = noise_members()
    data = WRITERS[suffix](tmp_path / f"whole{suffix}", members).read_bytes()
    path = tmp_path / f"cut{suffix}"
    counts = []
    step = 911
    end = len(data.rstrip(b"\0")) if suffix == ".tar" else len(data) - 1100
    for length in range(200, end, step):
        path.write_bytes(data[:length])
        found = find_images(path)
        counts.append(check_prefix(found, members))
        (failure,) = found.failures
        assert failure.key == path.name
        assert "the archive is damaged behind its" in failure.reason
    assert counts == sorted(counts)
    assert counts[-1] >= 9
    if suffix == ".tar":
        assert counts[-1] == 11


def test_a_header_damaged_in_the_middle_is_noticed(tmp_path: Path) -> None:
    members = noise_members()
    path = write_tar(tmp_path / "a.tar", members)
    data = bytearray(path.read_bytes())
    header = data.index(b"05.png")
    data[header : header + 200] = b"\xaa" * 200
    path.write_bytes(data)
    found = find_images(path)
    assert check_prefix(found, members) == 5
    assert "a.tar" in failures_of(found)


def test_a_zip_written_to_a_pipe_and_cut_off_is_read_by_unpacking(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    pipe, members = Pipe(), noise_members()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            archive.writestr(name, data)
    path = tmp_path / "a.zip"
    path.write_bytes(pipe.data[: len(pipe.data) * 2 // 3])
    assert check_prefix(find_images(path), members) == 8


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_damage_anywhere_never_gives_other_bytes_silently(suffix: str, tmp_path: Path) -> None:
    members = noise_members(6)
    data = WRITERS[suffix](tmp_path / f"whole{suffix}", members).read_bytes()
    path = tmp_path / f"hurt{suffix}"
    random.seed(7)
    for _ in range(60):
        hurt = bytearray(data)
        for _ in range(random.choice([1, 3, 40])):
            hurt[random.randrange(len(hurt))] = random.randrange(256)
        path.write_bytes(hurt)
        try:
            found = find_images(path)
        except ImagesNotFound:
            continue
        for item in found.items:
            try:
                item.read_bytes()
            except (ImageError, OSError):
                continue


def test_a_damaged_archive_takes_nothing_for_vanished(tmp_path: Path, toy: str) -> None:
    pictures = make_pictures()
    path = write_tar(tmp_path / "a.tar", {p.name: p.data for p in pictures})
    data = path.read_bytes()
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    assert featx.extract(path, **arguments).done == 7
    path.write_bytes(data[: len(data) // 3])
    report = featx.extract(path, prune=True, **arguments)
    assert (report.rows, report.removed, report.missing, report.failed) == (7, 0, 0, 1)
    path.write_bytes(data)
    report = featx.extract(path, **arguments)
    assert (report.rows, report.skipped, report.failed, report.done) == (7, 7, 0, 0)


def test_a_file_that_is_no_archive_is_a_failure_of_its_name(tmp_path: Path) -> None:
    for name in ("a.tar", "b.zip", "c.tar.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8bnonsense" if name == "c.tar.gz" else b"nonsense")
        found = find_images(tmp_path / name)
        assert list(failures_of(found)) == [name]


# ---- synchronisation ----


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_a_moved_archive_is_like_a_moved_folder(suffix: str, tmp_path: Path, toy: str) -> None:
    members = {p.name: p.data for p in make_pictures()}
    path = WRITERS[suffix](tmp_path / f"a{suffix}", members)
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    featx.extract(path, **arguments)
    other = WRITERS[suffix](tmp_path / f"other{suffix}", members)
    with pytest.raises(featx.FeatxError, match="holds the images of another folder"):
        featx.extract(other, **arguments)
    other.unlink()
    moved = path.rename(tmp_path / f"moved{suffix}")
    report = featx.extract(moved, **arguments)
    assert (report.skipped, report.done, report.missing) == (7, 0, 0)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert (store.root.path, store.header.root.path) == (moved, moved)


def test_unchanged_members_are_not_read(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(tmp_path / "a.zip", {p.name: p.data for p in make_pictures()})
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    featx.extract(path, **arguments)
    read = zips.ZipReader.read
    reads: list[str] = []

    def watched(self: zips.ZipReader, item: Any) -> bytes:
        reads.append(item.key)
        return read(self, item)

    monkeypatch.setattr(zips.ZipReader, "read", watched)
    assert featx.extract(path, **arguments).skipped == 7
    assert reads == []
    os.utime(path, ns=(1, 1))  # Written again, perhaps: read, and known by content.
    report = featx.extract(path, **arguments)
    assert (report.skipped, report.done, len(reads)) == (7, 0, 7)


def test_members_are_packed_tight_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = write_tar(tmp_path / "many.tar", {f"c{n % 10}/{n}.png": b"x" for n in range(3000)})
    find_images(path)
    tracemalloc.start()
    found = find_images(path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.items) == 3000
    assert held / 3000 < 500


@pytest.mark.parametrize("order", [(5, 1, 6, 2, 3), (0, 1, 2, 3, 4, 5, 6), (6, 5, 4)])
def test_a_compressed_archive_can_be_read_in_any_order(
    order: tuple[int, ...], tmp_path: Path
) -> None:
    pictures = make_pictures()
    path = write_tar(tmp_path / "a.tar.gz", {p.name: p.data for p in pictures}, "w:gz")
    items = find_images(path).items
    for number in order:
        assert items[number].read_bytes() == pictures[number].data


def test_a_compressed_archive_is_unpacked_once_by_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.images.reading import read_images
    from featx.images.sources import tars
    from featx.input_spec import InputSpec

    pictures = make_pictures(60)
    path = write_tar(tmp_path / "a.tar.gz", {p.name: p.data for p in pictures}, "w:gz")
    found = find_images(path)
    opened: list[str] = []
    members = tars.iterate_members

    def watched(path: str, opener: Any) -> Any:
        opened.append(path)
        return members(path, opener)

    monkeypatch.setattr(tars, "iterate_members", watched)
    results = list(read_images(found.items, InputSpec(8, 8), workers=8))
    assert [result.item.key for result in results] == [p.name for p in pictures]  # type: ignore[union-attr]
    assert len(opened) == 1


def test_predict_search_and_sheets_read_archives(tmp_path: Path, toy: str) -> None:
    from PIL import Image

    from featx.images.sources.locations import LocationReader
    from featx.report.contact_sheet import write_contact_sheet

    pictures = make_pictures()
    path = write_tar(tmp_path / "a.tar", {p.name: p.data for p in pictures})
    featx.extract(path, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    report = featx.search(path, features=tmp_path / "f.h5", k=2)
    assert [result.query for result in report.results] == [f"{path}/{p.name}" for p in pictures]
    assert [result.matches[0].path for result in report.results] == [
        f"{path}/{p.name}" for p in pictures
    ]
    write_contact_sheet(report, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        # A tile that cannot be read is 14,400 pixels of this grey; letters have a few.
        counts = {color: count for count, color in sheet.getcolors(1 << 20) or ()}
        assert counts.get((235, 235, 235), 0) < 1000
    assert LocationReader().read(f"{path}/{pictures[2].name}") == pictures[2].data
    moved = tmp_path / "moved"  # Archive, store and index together.
    moved.mkdir()
    for name in ("a.tar", "f.h5", "f.faiss"):
        (tmp_path / name).rename(moved / name)
    again = featx.search(keys=["cat/0.png"], features=moved / "f.h5", k=1)
    assert again.results[0].path == f"{moved}/a.tar/cat/0.png"


@needs_real_data
def test_the_real_archive_of_cifar10() -> None:
    found = find_images(REAL_DATA / "images" / "cifar10_test_jpeg.tar")
    assert (len(found.items), len(found.classes), found.failures) == (10_000, 10, ())
    assert zlib.crc32(found.items[4321].read_bytes()) != 0
    assert found.items[0].read_bytes()[:2] == b"\xff\xd8"


def test_png_is_what_the_builder_says() -> None:
    assert encode_png(make_pictures()[0].pixels) == PNG


# ---- what an archive claims ----


@pytest.mark.parametrize("field", ["packed", "offset", "size"])
@pytest.mark.parametrize("claim", [1 << 40, (1 << 63) + 5])
def test_a_zip_member_beyond_the_archive_fails_alone(
    field: str, claim: int, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": PNG, "b.png": PNG})
    data = bytearray(path.read_bytes())
    entry = data.find(b"PK\1\2")
    at = entry + {"packed": 20, "size": 24, "offset": 42}[field]
    data[at : at + 4] = b"\xff" * 4
    extra = struct.pack("<HHQ", 1, 8, claim)  # zip64
    data[entry + 30 : entry + 32] = struct.pack("<H", len(extra))
    at = entry + 46 + len("a.png")
    data[at:at] = extra
    end = data.find(b"PK\5\6")
    (length,) = struct.unpack_from("<I", data, end + 12)
    struct.pack_into("<I", data, end + 12, length + len(extra))
    path.write_bytes(data)
    found = find_images(path)
    assert keys_of(found) == ["b.png"]
    (failure,) = found.failures
    assert failure.key == "a.png"
    assert ("damaged" in failure.reason) or (field == "size" and "claims" in failure.reason)
    assert failure.mtime_ns == path.stat().st_mtime_ns
    assert 0 <= failure.size < 1 << 63


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_of_many_bytes_is_damage(kind: bytes, suffix: str, tmp_path: Path) -> None:
    path = WRITERS[suffix](tmp_path / f"a{suffix}", {"a.png": PNG})
    unpacked = gzip.decompress(path.read_bytes()) if suffix == ".tar.gz" else path.read_bytes()
    members = unpacked[: 512 + -len(PNG) // 512 * -512]
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, 1 << 30
    data = members + header.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
    path.write_bytes(gzip.compress(data) if suffix == ".tar.gz" else data)
    found = find_images(path)
    assert keys_of(found) == ["a.png"]
    assert failures_of(found)[path.name].endswith("a header of 1,073,741,824 bytes")


def test_names_refused_in_several_archives_have_the_archive_in_front(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / name, {"1.png": PNG, "../2.png": PNG})
    found = find_images([tmp_path / "a.tar", tmp_path / "b.tar"])
    assert sorted(failures_of(found)) == ["a.tar/../2.png", "b.tar/../2.png"]


# ---- what compressed archives keep ----


def tar_readers(found: ImageSet) -> list[tars.CompressedTar]:
    readers = {id(item.reader): item.reader for item in found.items}.values()
    return [reader for reader in readers if isinstance(reader, tars.CompressedTar)]


def test_compressed_archives_are_closed_behind_their_last_picture(tmp_path: Path) -> None:
    members = {"1.png": PNG, "1.npy": bytes(10_000), "2.png": PNG, "2.npy": bytes(10_000)}
    for number in range(6):
        write_tar(tmp_path / f"{number}.tar.gz", members, "w:gz")
    found = find_images(str(tmp_path / "*.tar.gz"))
    readers = tar_readers(found)
    for item in found.items:
        assert item.read_bytes() == PNG
    assert [reader.is_open for reader in readers] == [False] * 6


def test_few_compressed_archives_are_open_at_a_time(tmp_path: Path) -> None:
    members = {f"{number}.png": PNG for number in range(4)}
    for number in range(9):
        write_tar(tmp_path / f"{number}.tar.gz", members, "w:gz")
    found = find_images(str(tmp_path / "*.tar.gz"))
    readers = tar_readers(found)
    for number in (2, 0, 1, 2):
        for item in found.items[number::4]:
            assert item.read_bytes() == PNG
            assert 1 <= sum(reader.is_open for reader in readers) <= 4


def test_other_shards_of_an_archive_are_not_gone(photos: Path, toy: str, tmp_path: Path) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "p"), "tar", write_images(8, photos))
    store = tmp_path / "f.h5"
    extract(archive, model=toy, layers=["mean"], output=store)
    report = extract(archive, model=toy, layers=["mean"], output=store, shard=(1, 2), prune=True)
    assert (report.rows, report.removed) == (8, 0)


def test_a_compressed_archive_with_a_wrong_checksum_is_a_failure(
    photos: Path, toy: str, tmp_path: Path
) -> None:
    import shutil

    archive = Path(shutil.make_archive(str(tmp_path / "p"), "gztar", write_images(8, photos)))
    data = bytearray(archive.read_bytes())
    data[-6] ^= 0xFF  # The checksum stands at the end.
    archive.write_bytes(data)
    report = extract(archive, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    assert (report.rows, report.failed) == (8, 1)
    with open_store(tmp_path / "f.h5") as opened:
        assert "any of them may be damaged (CRC check failed" in opened.failures[0].reason
