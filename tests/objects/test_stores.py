"""Stores in an object store: the same as on a disk, also after interruptions."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import tarfile
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
from tests.objects.server import SERVERS, ObjectServer, Request

KEY = "2026/features.h5"

Run = Callable[..., ExtractReport]


@pytest.fixture
def url(server: ObjectServer) -> str:
    return server.url(KEY)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(7, tmp_path / "photos", classes=("cat", "dog"))


@pytest.fixture
def local(run: Run, store: Path) -> Path:
    """The same pictures in a store on the disk."""
    run()
    return store


@pytest.fixture
def run_view(run: Run, url: str, small_parts: None) -> Run:
    """Write a view at the address, of parts of two pictures."""
    return lambda **options: run(
        **{"output": url, "single_file_limit": 0, "batch_size": 2} | options
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
    server: ObjectServer, url: str, run: Run, local: Path, other_machine: Callable[[], None]
) -> None:
    report = run(output=url)
    assert report.output == url
    assert [*server.objects()] == [KEY]
    assert copied_bytes() == 0
    other_machine()
    assert rows(url) == rows(local)
    mode = (user_cache_folder() / "objects").stat().st_mode
    assert os.name == "nt" or mode & 0o077 == 0, "other users can read what is in the bucket"


def test_a_view_is_parts_and_a_small_object(
    server: ObjectServer, url: str, run_view: Run, local: Path, photos: Path
) -> None:
    run_view()
    parts = {name: data for name, data in server.objects().items() if ".parts/part-" in name}
    assert len(parts) == 4
    sent = [one.name for one in server.requests if one.does == "write"]
    assert len(sent) == 4 + 1  # Each part, and the view.
    before = 3 if server.scheme == "s3" else 2  # Cloud Storage does not tell what was begun.
    assert len(server.requests) == before + 2 * len(parts), "the figures of docs/scale.md"
    server.clear()
    assert rows(url) == rows(local)
    assert len(server.requests) == 4 + 2 * len(parts), "the figures of docs/scale.md"
    write_images(8, photos, classes=("cat", "dog"))
    server.clear()
    assert run_view().done == 1
    assert parts.items() < server.objects().items()
    fetched = [one for one in server.requests if one.does == "read" and "part-" in one.name]
    assert server.bytes_sent < sum(map(len, parts.values())), "features were fetched"
    assert len(fetched) == 4  # The seals alone.
    assert featx.verify_store(url).is_intact


def test_the_same_command_again_does_nothing(server: ObjectServer, url: str, run: Run) -> None:
    run(output=url)
    server.clear()
    assert run(output=url).done == 0
    assert run(output=url, dry_run=True).done == 0
    assert not [one for one in server.requests if one.writes]


def test_what_was_fetched_is_kept_until_it_changes(
    server: ObjectServer, url: str, run: Run, photos: Path, tmp_path: Path
) -> None:
    run(output=url)
    before = rows(url)
    server.clear()
    assert rows(url) == before
    assert [one.does for one in server.requests] == ["list"]
    run(output=url, images=write_images(3, tmp_path / "others"), overwrite=True)
    assert len(rows(url)[0]) == 3  # type: ignore[arg-type]


def test_copies_stay_within_their_limit(
    server: ObjectServer, url: str, run_view: Run, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATX_COPIES_SIZE", "10 kB")
    here = user_cache_folder() / "objects"
    other, left = (
        here / "read" / server.scheme / "photos" / name for name in ("old.hdf5", "new.h5.1.tmp")
    )
    other.parent.mkdir(parents=True)
    for file in (other, left):
        file.write_bytes(bytes(10_000))
        os.utime(file, (0, 0))
    run_view()
    assert rows(url) == rows(local)
    there = [file for file in here.rglob("*.h5") if not is_absent(file)]
    assert 0 < len(there) < 4
    assert is_absent(other)
    assert not left.exists()


def test_every_reader_takes_an_address(
    server: ObjectServer, url: str, run: Run, photos: Path, tmp_path: Path
) -> None:
    run(output=url)
    assert featx.verify_store(url).store == url
    assert featx.search(photos / "cat" / "image_0.png", features=url).results
    featx.fit_head(url, output=tmp_path / "head", kind="centroid")
    assert len(featx.predict(url, head=tmp_path / "head").predictions) == 7
    assert featx.export_store(url, tmp_path / "f.npy").rows == 7
    assert featx.select(url, diverse=3).keys
    assert featx.audit(url) is not None
    assert len(featx.open_dataset(url)) == 7


def test_stores_are_merged_and_packed_in_both_directions(
    server: ObjectServer, url: str, run: Run, local: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        run(output=server.url(f"part{number}.h5"), shard=(number, 2))
    report = featx.merge_stores([server.url("part1.h5"), server.url("part2.h5")], url)
    assert report.output == url
    featx.pack_store(url, output=tmp_path / "packed.h5")
    assert set(rows(tmp_path / "packed.h5")[0]) == set(rows(local)[0])  # type: ignore[arg-type]
    copy = server.url("copy.h5")
    featx.pack_store(local, output=copy)
    assert rows(copy) == rows(local)
    with pytest.raises(StoreError, match=f"'{copy}' exists and is left alone"):
        featx.pack_store(local, output=copy)
    featx.pack_store(url)
    assert featx.merge_stores([url, local], url, keep="last").rows == 7


def test_a_folder_of_stores_is_no_store(server: ObjectServer, url: str, local: Path) -> None:
    featx.pack_store(local, output=url)
    assert len(featx.open_store(url)) == 7  # So that there is a copy in that folder.
    folder = url.rpartition("/")[0]
    with pytest.raises(StoreNotFound, match=rf"'{folder}' is a folder"):
        featx.open_store(folder)


@pytest.mark.parametrize("kind", list(SERVERS))
@pytest.mark.parametrize(
    ("what", "batch"),
    [
        ("lose", 7),
        pytest.param("lose", 2, marks=pytest.mark.slow),
        pytest.param("break", 4, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_dies_anywhere_goes_on(
    server: ObjectServer, url: str, run: Run, local: Path, small_parts: None, what: str, batch: int
) -> None:
    """Each request that writes is once the last: it does not arrive, or its answer does not."""
    expected = rows(local)
    for last in range(20):
        server.empty()
        server.fault = Dying(last, what)
        try:
            run(output=url, batch_size=batch)
            break
        except StoreError:
            server.fault = None
        with contextlib.suppress(StoreNotFound):
            assert rows(url) == expected
        done = sum(".parts/part-" in name for name in server.objects())
        assert run(output=url, batch_size=batch).done <= max(0, 7 - batch * done)
        assert rows(url) == expected
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
    server: ObjectServer, url: str, run: Run, tmp_path: Path, store: Path, limit: int
) -> None:
    """Every process is killed, each a little later than the ones that did nothing yet."""
    photos = write_images(24, tmp_path / "many", classes=("cat", "dog"))
    run(images=photos)
    expected, random = rows(store), np.random.default_rng(limit)
    command = [sys.executable, "-c", SCRIPT, str(photos), url, str(limit)]
    begun = time.monotonic()
    subprocess.run([*command[:-2], server.url("other.h5"), command[-1]], check=True)
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
            assert rows(url) == expected
    assert kills > 3
    assert rows(url) == expected
    report = featx.verify_store(url)
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
    server: ObjectServer, url: str, run: Run
) -> None:
    run(output=url)
    before = rows(url)
    parts = Address.parse(url).copy("read").with_name("features.h5.parts")
    parts.mkdir(exist_ok=True)
    fetched, left = parts / "part-000000.h5.1.tmp", parts / "part-000000.h5.2.tmp"
    for file in (fetched, left):
        file.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert rows(url) == before
    assert fetched.exists()
    assert not left.exists()


def test_pictures_in_a_bucket_give_the_store_of_those_on_the_disk(
    server: ObjectServer, url: str, run: Run, local: Path, photos: Path
) -> None:
    for file in photos.rglob("*.png"):
        name = file.relative_to(photos).as_posix()
        server.put(f"pictures/{name}", file.read_bytes())
    server.put("pictures/notes.txt", b"no picture")
    pictures = server.url("pictures")
    assert run(images=pictures, output=url).done == 7
    server.clear()
    assert run(images=pictures, output=url).done == 0
    assert not [one for one in server.requests if one.name.startswith("pictures/")]
    server.put("pictures/cat/new.png", (photos / "cat" / "image_0.png").read_bytes())
    assert run(images=pictures, output=url).rows == 8, "an old listing was used"
    assert run(images=pictures, output=url, overwrite=True, exclude=["new.png"]).rows == 7
    keys, labels, values, _ = rows(local)
    assert rows(url)[:3] == (keys, labels, values)
    with featx.open_store(url) as store:
        assert str(store.root) == pictures


@pytest.mark.slow
def test_shards_and_manifests_in_a_bucket_give_the_same_features(
    server: ObjectServer, run: Run, local: Path, photos: Path, tmp_path: Path
) -> None:
    expected = rows(local)
    names = [file.relative_to(photos).as_posix() for file in sorted(photos.rglob("*.png"))]
    for number in range(2):
        shard = tmp_path / f"{number}.tar"
        with tarfile.open(shard, "w") as archive:
            for name in names[number::2]:
                archive.add(photos / name, name)
        server.put(f"shards/{number}.tar", shard.read_bytes())
    for name in names:
        server.put(f"pictures/{name}", (photos / name).read_bytes())
    server.put("pictures/m.csv", "\n".join(["path", *names]).encode())
    shards, table = server.url("shards/*.tar"), server.url("pictures/m.csv")
    assert run(images=shards, output=tmp_path / "shards.h5").done == 7
    assert run(images=shards, output=tmp_path / "shards.h5").done == 0
    assert run(images=table, output=tmp_path / "table.h5").done == 7
    assert rows(tmp_path / "table.h5")[:3] == expected[:3]
    with featx.open_store(tmp_path / "shards.h5") as store, featx.open_store(local) as other:
        places = [store.keys.index(f"{n % 2}.tar/{name}") for n, name in enumerate(names)]
        order = [other.keys.index(name) for name in names]
        assert (np.asarray(store["mean"])[places] == np.asarray(other["mean"])[order]).all()
