"""`verify`, `pack`, `merge` and the options of `extract` that belong to the store."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import pytest

from featx.store.parts import parts_folder
from featx.testing import write_images
from tests.cli.program import Outcome, Program

EXTRACT = ("extract", "-m", "toy:colors", "--layer", "mean")


def line(outcome: Outcome) -> dict[str, object]:
    (only,) = outcome.out.splitlines()
    return dict(json.loads(only))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_from_a_view_to_one_file(featx: Program, photos: Path) -> None:
    featx(*EXTRACT, "--single-file-limit", "100")
    info = featx("info")
    assert "a view of 1 part file (" in info.out
    assert "must stay beside it" in info.out
    described = line(featx("info", "--json"))
    assert (described["kind"], described["parts"]) == ("view", ["features.h5.parts/part-000000.h5"])
    packed = featx("pack")
    assert "12 rows in one file" in packed.out
    assert "made of 1 part" in packed.out
    assert not parts_folder(Path("features.h5")).exists()
    assert line(featx("info", "--json"))["kind"] == "one file"
    assert "is one file already" in featx("pack").err
    assert line(featx("pack", "-o", "copy.h5", "--json"))["rows"] == 12
    refused = featx("pack", "-o", "copy.h5")
    assert refused.status == 1
    assert "'copy.h5' exists and is left alone" in refused.err


def test_damage_is_named_and_repaired(featx: Program, photos: Path) -> None:
    featx(*EXTRACT)
    intact = featx("verify", "--images", ".")
    assert intact.status == 0
    assert intact.out.startswith("features.h5: intact (12 rows in 1 file, ")
    assert intact.out.endswith("12 images)\n")
    with h5py.File("features.h5", locking=False) as file:
        chunk = file["features/f000"].id.get_chunk_info(0).byte_offset
    flip(Path("features.h5"), chunk)
    damaged = featx("verify", "--json")
    assert damaged.status == 1
    assert line(damaged)["intact"] is False
    found = featx("verify").out
    assert "features.h5: damaged; 12 rows: dark/image_0.png, dark/image_2.png" in found
    repaired = featx("verify", "--repair")
    assert repaired.status == 0
    assert "repaired: " in repaired.out
    again = line(featx(*EXTRACT, "--json"))
    assert again["rows"] == 12
    assert featx("verify", "--images", ".").status == 0


def test_what_cannot_be_repaired_says_so(featx: Program, photos: Path) -> None:
    featx(*EXTRACT)
    Path("features.h5").write_bytes(Path("features.h5").read_bytes()[:2000])
    found = featx("verify")
    assert found.status == 1
    assert found.out.endswith("It cannot be repaired: extract again with --overwrite\n")
    refused = featx("verify", "--repair")
    assert refused.status == 1
    assert "cannot be repaired" in refused.err
    assert line(featx(*EXTRACT, "--overwrite", "--json"))["rows"] == 12
    Path("note.h5").write_bytes(b"something else")
    assert "no feature store" in featx("verify", "note.h5").err


def test_changed_and_missing_images_are_told_apart(featx: Program, photos: Path) -> None:
    featx(*EXTRACT)
    Path("dark/image_0.png").unlink()
    content, times = Path("light/image_1.png").read_bytes(), Path("light/image_3.png").stat()
    Path("light/image_3.png").write_bytes(content)
    found = featx("verify", "--images", ".")
    assert found.status == 1
    assert found.out.startswith("features.h5: intact")
    assert "1 image is not the one that was extracted: light/image_3.png" in found.out
    assert "1 image is gone: dark/image_0.png" in found.out
    # A file that changed and kept its time would never be noticed otherwise.
    os.utime("light/image_3.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    featx("verify", "--images", ".", "--repair")
    report = line(featx(*EXTRACT, "--json"))
    assert (report["rows"], report["reused"], report["missing"]) == (12, 1, 1)


def test_images_that_cannot_be_read_are_not_called_gone(featx: Program, photos: Path) -> None:
    pictures = [(p.name, p.read_bytes()) for p in sorted(photos.glob("*/*.png"))][:3]
    with zipfile.ZipFile("a.zip", "w") as archive:
        for name, data in pictures:
            archive.writestr(name, data)
    featx("extract", "a.zip", *EXTRACT[1:])
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr(pictures[0][0], pictures[0][1])
        archive.writestr(pictures[1][0], pictures[1][1], zipfile.ZIP_LZMA)
    found = featx("verify", "--images", "a.zip")
    assert found.out.splitlines()[1:] == [
        f"1 image is gone: {pictures[2][0]}",
        f"1 image cannot be read: {pictures[1][0]} (packed with method 14: only stored, deflate "
        "and bzip2 are read)",
    ]
    assert f"failed: {pictures[1][0]}: packed with method 14" in found.err
    reported = line(featx("verify", "--images", "a.zip", "--json"))
    assert (reported["images"], list(reported["unreadable"])) == (1, [pictures[1][0]])
    Path("a.zip").write_bytes(b"PK")
    found = featx("verify", "--images", "a.zip")
    assert "gone" not in found.out
    assert "3 images cannot be read: " in found.out


def test_shards_are_merged(featx: Program, photos: Path) -> None:
    featx(*EXTRACT, "-o", "whole.h5")
    for number in (1, 2, 3):
        featx(*EXTRACT, "-o", f"{number}.h5", "--shard", f"{number}/3")
    merged = featx("merge", "1.h5", "2.h5", "3.h5", "-o", "merged.h5")
    assert merged.out == "merged.h5: 12 rows from 3 stores\n"
    assert line(featx(*EXTRACT, "-o", "merged.h5", "--json"))["skipped"] == 12
    doubled = line(featx("merge", "merged.h5", "1.h5", "-o", "merged.h5", "--json"))
    assert doubled["rows"] == 12
    assert len(doubled["duplicates"]) > 0
    write_images(13, classes=("dark", "light"), folder=photos)
    refused = featx("merge", "whole.h5", "1.h5", "-o", "merged.h5")
    assert refused.status == 1
    assert "'merged.h5' exists and is left alone" in refused.err


def test_conflicts_are_reported(featx: Program, photos: Path) -> None:
    featx(*EXTRACT, "-o", "old.h5")
    Path("dark/image_0.png").write_bytes(Path("dark/image_2.png").read_bytes())
    featx(*EXTRACT, "-o", "new.h5")
    refused = featx("merge", "old.h5", "new.h5", "-o", "all.h5")
    assert refused.status == 1
    assert "1 image has different content in several stores: 'dark/image_0.png'" in refused.err
    kept = featx("merge", "old.h5", "new.h5", "-o", "all.h5", "--keep", "last")
    assert "1 image was in several, with different content: dark/image_0.png" in kept.out
    described = line(featx("verify", "all.h5", "--images", ".", "--json"))
    assert described["intact"] is True


def test_merging_what_was_made_differently_is_refused(featx: Program, photos: Path) -> None:
    featx(*EXTRACT, "-o", "a.h5")
    featx(*EXTRACT, "-o", "b.h5", "--preprocess", "tf")
    refused = featx("merge", "a.h5", "b.h5", "-o", "c.h5")
    assert refused.status == 1
    assert "input.scaling: expected unit, received tf" in refused.err
    assert not Path("c.h5").exists()


def test_dry_run_says_what_would_be_done(featx: Program, photos: Path) -> None:
    featx(*EXTRACT)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in Path(".").iterdir())
    Path("dark/image_0.png").rename("light/image_0.png")
    Path("dark/copy.png").write_bytes(Path("dark/image_2.png").read_bytes())
    Path("dark/image_4.png").unlink()
    planned = featx(*EXTRACT, "--dry-run")
    assert planned.out == (
        "features.h5: nothing was written; there would be 13 rows (0 to compute, 10 already there, "
        "1 renamed, 1 identical to others, 1 without their image)\n"
    )
    after = sorted((path.name, path.stat().st_mtime_ns) for path in Path(".").iterdir())
    assert [name for name, _ in after] == [name for name, _ in before]
    assert dict(after)["features.h5"] == dict(before)["features.h5"]
    done = featx(*EXTRACT)
    assert done.out.startswith("features.h5: 13 rows (0 computed, 10 already there, 1 renamed, 1 ")
    assert "13, 1 without their image (--prune removes them)" in featx("info").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "0/3"), "counted from 1"),
        (("--shard", "x"), "Received: 'x'"),
        (("--single-file-limit", "big"), "as in 500MB or 4GB. Received: 'big'"),
    ],
)
def test_wrong_values_are_explained(
    featx: Program, photos: Path, arguments: tuple[str, str], message: str
) -> None:
    outcome = featx(*EXTRACT, *arguments)
    assert outcome.status == 2
    assert message in outcome.err


def test_images_in_an_archive_are_verified_too(featx: Program, photos: Path) -> None:
    archive = shutil.make_archive("../pictures", "tar", ".")
    featx("extract", archive, "-m", "toy:colors", "--layer", "mean")
    assert featx("verify", "--images", archive).out.endswith("12 images)\n")
    for path in Path("dark").iterdir():
        path.write_bytes(b"changed")
    changed = shutil.make_archive("../changed", "tar", ".")
    found = featx("verify", "--images", changed)
    assert found.status == 1
    assert "6 images are not those that were extracted: dark/image_0.png" in found.out
