"""Stores in an object store: the same as on a disk, also after interruptions."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import StoreError, StoreNotFound
from featx.extraction import ExtractReport
from featx.objects.addresses import Address
from featx.objects.copied_files import is_absent
from featx.testing import write_images
from featx.user_cache import user_cache_folder
from tests.objects.server import ObjectServer, Request

URL = "s3://photos/2026/features.h5"
KEY = "2026/features.h5"
PART = f"{KEY}.parts/part-%06d.h5"

Run = Callable[..., ExtractReport]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(7, tmp_path / "photos", classes=("cat", "dog"))


@pytest.fixture
def local(run: Run, store: Path) -> Path:
    """The same pictures in a store on the disk."""
    run()
    return store


@pytest.fixture
def run_view(run: Run, server: ObjectServer, small_parts: None) -> Run:
    """Write a view at the address, of parts of two pictures."""
    return lambda **options: run(
        **{"output": URL, "single_file_limit": 0, "batch_size": 2} | options
    )


def rows(store: str | Path) -> tuple[object, ...]:
    """Everything that must be the same wherever a store is."""
    with featx.open_store(store) as opened:
        values = np.asarray(opened["mean"])
        return opened.keys, opened.labels, values.tobytes(), opened.contents


def copied_bytes() -> int:
    """What the copies for writing take on the disk."""
    return sum(file.stat().st_size for file in user_cache_folder().glob("objects/write/**/*.h5"))


def test_a_store_is_the_same_as_on_the_disk(
    server: ObjectServer, run: Run, local: Path, other_machine: Callable[[], None]
) -> None:
    report = run(output=URL)
    assert report.output == URL
    assert [*server.objects()] == [KEY]
    assert copied_bytes() == 0
    other_machine()
    assert rows(URL) == rows(local)
    mode = (user_cache_folder() / "objects").stat().st_mode
    assert os.name == "nt" or mode & 0o077 == 0, "other users can read what is in the bucket"


def test_a_view_is_parts_and_a_small_object(
    server: ObjectServer, run_view: Run, local: Path, photos: Path
) -> None:
    run_view()
    parts = {name: data for name, data in server.objects().items() if ".parts/part-" in name}
    assert len(parts) == 4
    sent = [one.path for one in server.requests if one.method == "PUT"]
    assert len(sent) == 4 + 1  # Each part, and the view.
    assert len(server.requests) == 3 + 2 * len(parts), "the figures of docs/scale.md"
    server.clear()
    assert rows(URL) == rows(local)
    assert len(server.requests) == 4 + 2 * len(parts), "the figures of docs/scale.md"
    write_images(8, photos, classes=("cat", "dog"))
    server.clear()
    assert run_view().done == 1
    assert parts.items() < server.objects().items()
    fetched = [one for one in server.requests if one.method == "GET" and "part-" in one.path]
    assert server.bytes_sent < sum(map(len, parts.values())), "features were fetched"
    assert len(fetched) == 4  # The seals alone.
    assert featx.verify_store(URL).is_intact


def test_the_same_command_again_does_nothing(server: ObjectServer, run: Run) -> None:
    run(output=URL)
    server.clear()
    assert run(output=URL).done == 0
    assert run(output=URL, dry_run=True).done == 0
    assert not [one for one in server.requests if one.writes]


def test_what_was_fetched_is_kept_until_it_changes(
    server: ObjectServer, run: Run, photos: Path, tmp_path: Path
) -> None:
    run(output=URL)
    before = rows(URL)
    server.clear()
    assert rows(URL) == before
    assert [one.method for one in server.requests] == ["GET"]  # The listing.
    run(output=URL, images=write_images(3, tmp_path / "others"), overwrite=True)
    assert len(rows(URL)[0]) == 3  # type: ignore[arg-type]


def test_copies_stay_within_their_limit(
    server: ObjectServer, run_view: Run, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATX_COPIES_SIZE", "10 kB")
    here = user_cache_folder() / "objects"
    other, left = (here / "read" / "s3" / "photos" / name for name in ("old.hdf5", "new.h5.1.tmp"))
    other.parent.mkdir(parents=True)
    for file in (other, left):
        file.write_bytes(bytes(10_000))
        os.utime(file, (0, 0))
    run_view()
    assert rows(URL) == rows(local)
    there = [file for file in here.rglob("*.h5") if not is_absent(file)]
    assert 0 < len(there) < 4
    assert is_absent(other)
    assert not left.exists()


def test_every_reader_takes_an_address(
    server: ObjectServer, run: Run, photos: Path, tmp_path: Path
) -> None:
    run(output=URL)
    assert featx.verify_store(URL).store == URL
    assert featx.search(photos / "cat" / "image_0.png", features=URL).results
    featx.fit_head(URL, output=tmp_path / "head", kind="centroid")
    assert len(featx.predict(URL, head=tmp_path / "head").predictions) == 7
    assert featx.export_store(URL, tmp_path / "f.npy").rows == 7
    assert featx.select(URL, diverse=3).keys
    assert featx.audit(URL) is not None
    assert len(featx.open_dataset(URL)) == 7


def test_stores_are_merged_and_packed_in_both_directions(
    server: ObjectServer, run: Run, local: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        run(output=f"s3://photos/part{number}.h5", shard=(number, 2))
    report = featx.merge_stores(["s3://photos/part1.h5", "s3://photos/part2.h5"], URL)
    assert report.output == URL
    featx.pack_store(URL, output=tmp_path / "packed.h5")
    assert set(rows(tmp_path / "packed.h5")[0]) == set(rows(local)[0])  # type: ignore[arg-type]
    featx.pack_store(local, output="s3://photos/copy.h5")
    assert rows("s3://photos/copy.h5") == rows(local)
    with pytest.raises(StoreError, match=r"'s3://photos/copy.h5' exists and is left alone"):
        featx.pack_store(local, output="s3://photos/copy.h5")
    featx.pack_store(URL)
    assert featx.merge_stores([URL, local], URL, keep="last").rows == 7


def test_a_folder_of_stores_is_no_store(server: ObjectServer, local: Path) -> None:
    featx.pack_store(local, output=URL)
    assert len(featx.open_store(URL)) == 7  # So that there is a copy in that folder.
    folder = URL.rpartition("/")[0]
    with pytest.raises(StoreNotFound, match=rf"'{folder}' is a folder"):
        featx.open_store(folder)


@pytest.mark.parametrize(
    ("what", "batch"),
    [
        ("lose", 7),
        pytest.param("lose", 2, marks=pytest.mark.slow),
        pytest.param("break", 4, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_dies_anywhere_goes_on(
    server: ObjectServer, run: Run, local: Path, small_parts: None, what: str, batch: int
) -> None:
    """Each request that writes is once the last: it does not arrive, or its answer does not."""
    expected = rows(local)
    for last in range(20):
        server.empty("photos")
        server.fault = Dying(last, what)
        try:
            run(output=URL, batch_size=batch)
            break
        except StoreError:
            server.fault = None
        with contextlib.suppress(StoreNotFound):
            assert rows(URL) == expected
        done = sum(".parts/part-" in name for name in server.objects())
        assert run(output=URL, batch_size=batch).done <= max(0, 7 - batch * done)
        assert rows(URL) == expected
        assert [*server.objects()] == [KEY]
    assert last == 1 + 2 * math.ceil(7 / batch)  # The store; each part, and its deletion.


SCRIPT = """
import sys
import featx
from featx.store.parts import PartWriter
from featx.testing import toy_model

PartWriter.__init__.__kwdefaults__["max_bytes"] = 1
featx.extract(sys.argv[1], model=toy_model(), layers=["mean"], output=sys.argv[2],
              batch_size=2, single_file_limit=int(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_kills_at_random_instants_lose_nothing(
    server: ObjectServer, run: Run, tmp_path: Path, store: Path, limit: int
) -> None:
    """Every process is killed, each a little later than the ones that did nothing yet."""
    photos = write_images(24, tmp_path / "many", classes=("cat", "dog"))
    run(images=photos)
    expected, random = rows(store), np.random.default_rng(limit)
    command = [sys.executable, "-c", SCRIPT, str(photos), URL, str(limit)]
    begun = time.monotonic()
    subprocess.run([*command[:-2], "s3://photos/other.h5", command[-1]], check=True)
    undisturbed = time.monotonic() - begun
    kills = done = 0
    while not done:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        patience = undisturbed * random.random() * (0.5 + kills / 10)
        try:
            _, said = process.communicate(timeout=patience)
            assert process.returncode == 0, said.decode()
            done = 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        with contextlib.suppress(StoreNotFound):
            assert rows(URL) == expected
    assert kills > 3
    assert rows(URL) == expected
    report = featx.verify_store(URL)
    assert report.is_intact
    assert report.unused == ()


class Dying:
    """A fault: from the request that writes on that has a number, nothing is answered."""

    def __init__(self, last: int, what: str) -> None:
        self._left, self._what = last, what

    def __call__(self, request: Request) -> str | None:
        self._left -= request.writes
        return self._what if self._left < 0 else None


def test_a_copy_keeps_what_is_being_fetched_and_drops_what_was_left(
    server: ObjectServer, run: Run
) -> None:
    run(output=URL)
    before = rows(URL)
    parts = Address.parse(URL).copy("read").with_name("features.h5.parts")
    parts.mkdir(exist_ok=True)
    fetched, left = parts / "part-000000.h5.1.tmp", parts / "part-000000.h5.2.tmp"
    for file in (fetched, left):
        file.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert rows(URL) == before
    assert fetched.exists()
    assert not left.exists()


def test_pictures_in_a_bucket_give_the_store_of_those_on_the_disk(
    server: ObjectServer, run: Run, local: Path, photos: Path
) -> None:
    for file in photos.rglob("*.png"):
        name = file.relative_to(photos).as_posix()
        server.put(f"pictures/{name}", file.read_bytes())
    server.put("pictures/notes.txt", b"no picture")
    assert run(images="s3://photos/pictures", output=URL).done == 7
    server.clear()
    assert run(images="s3://photos/pictures", output=URL).done == 0
    assert not [one for one in server.requests if "/pictures/" in one.path]
    keys, labels, values, _ = rows(local)
    assert rows(URL)[:3] == (keys, labels, values)
    with featx.open_store(URL) as store:
        assert str(store.root) == "s3://photos/pictures"
