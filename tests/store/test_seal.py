"""The seal in front of a store: every byte counts, and damage never turns into other features."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from featx.errors import StoreDamaged, StoreError
from featx.store import open_store
from featx.store.opening import is_store
from featx.store.parts import PartWriter, list_parts
from featx.store.seal import SEAL_BYTES, Seal, compute_seal, is_seal_broken, read_seal
from tests.store_samples import failure, make_copies, make_header, make_rows, write_view

MAPS = np.random.default_rng(5).normal(size=(6, 2, 3)).astype(np.float32)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A small part file with everything that a part can have."""
    writer = PartWriter(tmp_path / "p", make_header({"block/map": (2, 3), "vector": (4,)}))
    keys = [f"day/{number}.png" for number in range(5)] + ["Straße/猫 – é.jpg"]
    vectors = np.arange(24, dtype=np.float32).reshape(6, 4)
    features = {"block/map": MAPS, "vector": vectors}
    writer.add(make_rows(features, keys, labels=["day"] * 5 + ["Straße"]))
    writer.add_copies(make_copies({"copy.png": "day/1.png"}))
    writer.fail(failure("broken.png"))
    writer.commit()
    return list_parts(tmp_path / "p")[0]


def test_seal_comes_back_as_it_was_written(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9
    for kind in ("data", "view"):
        seal = compute_seal(io.BytesIO(bytes(SEAL_BYTES) + content), kind)
        assert (seal.kind, seal.num_bytes) == (kind, SEAL_BYTES + len(content))
        assert len(seal.to_bytes()) == SEAL_BYTES
        (tmp_path / "file").write_bytes(seal.to_bytes() + content)
        assert read_seal(tmp_path / "file") == seal
        assert not is_seal_broken(tmp_path / "file")


def test_largest_seal_fits() -> None:
    assert len(Seal("view", 10**18 - 1, "f" * 64).to_bytes()) == SEAL_BYTES


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_sha256sum_of_what_follows_agrees(part: Path) -> None:
    tail = subprocess.run(["tail", "-c", "+513", part], capture_output=True, check=True)
    printed = subprocess.run(["sha256sum"], input=tail.stdout, capture_output=True, check=True)
    seal = read_seal(part)
    assert seal is not None
    assert printed.stdout.decode().split()[0] == seal.sha256
    assert part.read_bytes().startswith(b"featx-store\nkind data\nbytes ")


@pytest.mark.parametrize("content", [b"", b"featx-store\n", b"\0" * 512, b"\x89HDF\r\n\x1a\n"])
def test_file_without_seal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_seal(path) is None
    assert is_seal_broken(path)
    assert not is_store(path)


@pytest.mark.skipif(os.name == "nt", reason="asks for rights of POSIX")
def test_unreadable_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened: Is a directory") as caught:
        read_seal(tmp_path)
    assert not isinstance(caught.value, StoreDamaged)


@pytest.mark.parametrize("change", [-1, -400, -5000, 1, 512, 70_000])
def test_truncated_or_extended_file_is_refused_with_both_sizes(part: Path, change: int) -> None:
    content = part.read_bytes()
    wrong = len(content) + change
    part.write_bytes((content + bytes(max(0, change)))[:wrong])
    with pytest.raises(StoreDamaged) as caught:
        open_store(part)
    assert f"it has {wrong:,} bytes and was written with {len(content):,}" in str(caught.value)
    assert str(part) in str(caught.value)
    assert is_seal_broken(part)
    assert is_store(part)  # It may be replaced by --overwrite.


def test_every_flipped_byte_breaks_the_seal(part: Path) -> None:
    content = part.read_bytes()
    assert not is_seal_broken(part)
    masks = np.random.default_rng(7).integers(1, 256, len(content)).tolist()
    unnoticed = []
    with part.open("r+b", buffering=0) as file:
        for offset, mask in enumerate(masks):
            os.pwrite(file.fileno(), bytes([content[offset] ^ mask]), offset)
            if not is_seal_broken(part):
                unnoticed.append((offset, mask))
            os.pwrite(file.fileno(), content[offset : offset + 1], offset)
    assert unnoticed == []
    assert not is_seal_broken(part)


READER = textwrap.dedent(
    """
    import json, signal, sys
    from pathlib import Path
    from featx.errors import StoreError
    from featx.store import open_store
    from tests.store_samples import flip

    def read(path):
        with open_store(path) as store:
            columns = [store.keys, store.labels, store.classes, store.content_hash.tolist()]
            columns += [store.file_size.tolist(), store.file_mtime_ns.tolist()]
            columns += [store.missing.tolist(), store.failures, store.contents, store.next_part]
            columns += [store.header, store.copies.keys, store.copies.labels]
            columns += [getattr(store.copies, name).tolist() for name in
                        ("content_hash", "file_size", "file_mtime_ns")]
            return repr(columns + [store.features(layer)[:].tobytes() for layer in store.layers])

    path, flips = Path(sys.argv[1]), json.loads(sys.stdin.read())
    whole, outcomes = read(path), {"refused": 0, "unharmed": 0}
    for offset, mask in flips:
        signal.alarm(5)  # Ends this process, also inside HDF5.
        print(offset, mask, end=": ", flush=True)
        flip(path, offset, mask)
        try:
            outcome = "unharmed" if read(path) == whole else "OTHER VALUES"
        except StoreError:
            outcome = "refused"
        flip(path, offset, mask)
        print(outcome, flush=True)
    assert read(path) == whole
    """
)


def outcomes_of_reading(path: Path, flips: list[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Read a file in another process, with each of the flips in turn: (offset, mask) → outcome."""
    result = subprocess.run(
        [sys.executable, "-c", READER, str(path)],
        input=json.dumps(flips),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    lines = result.stdout.splitlines()
    assert result.returncode == 0, f"{result.returncode} after {lines[-1:]}: {result.stderr}"
    assert result.stderr == ""
    assert len(lines) == len(flips)
    return dict(zip(flips, (line.partition(": ")[2] for line in lines), strict=True))


def sample_flips(path: Path, count: int, seed: int) -> list[tuple[int, int]]:
    random = np.random.default_rng(seed)
    offsets = random.choice(path.stat().st_size, count, replace=False).tolist()
    return list(zip(offsets, random.integers(1, 256, count).tolist(), strict=True))


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs an alarm against hanging")
def test_file_with_a_flipped_byte_is_refused_or_gives_what_was_written(part: Path) -> None:
    outcomes = outcomes_of_reading(part, sample_flips(part, 150, seed=11))
    wrong = {flip: outcome for flip, outcome in outcomes.items() if outcome == "OTHER VALUES"}
    assert wrong == {}
    assert set(outcomes.values()) == {"refused", "unharmed"}


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs an alarm against hanging")
def test_view_with_any_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "view.h5"
    write_view(path, {"map": MAPS}, [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (1, 2)])
    outcomes = outcomes_of_reading(path, sample_flips(path, 100, seed=13))
    assert set(outcomes.values()) == {"refused"}
