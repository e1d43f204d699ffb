"""Comparing an exported file with featx: the same pictures through both."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.deploy import fresh
from featx.errors import HeadError, ImageError
from featx.events import Listener
from featx.features.embedding import accelerate
from featx.heads.head import Head
from featx.images.decode import decode_image, is_reduced, upright_size
from featx.images.reading import hash_content
from featx.images.sources import Images, gather
from featx.images.sources.locations import LocationReader
from featx.models.backbone import Backbone
from featx.options import RunOptions
from featx.poolings import pool_features
from featx.specs import InputSpec
from featx.store import open_store

MOST_PICTURES = 64
"""Photographs that are compared, of the store or of those that are given."""

DRAWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class CheckPicture:
    """A picture that is compared.

    Attributes:
        whole: All its pixels, uint8 (h, w, 3).
        fitted: Those that the network takes, unscaled, uint8 (H, W, C), decoded whole.
        fast: The same, decoded as the head's contract says.
        small: RGB of the network's size, uint8 (H, W, 3).
        label: Its class; None where it is not known, or the head was fitted on it.
    """

    whole: np.ndarray
    fitted: np.ndarray
    fast: np.ndarray
    small: np.ndarray
    label: str | None


@dataclass(frozen=True, slots=True)
class ExportComparison:
    """An exported file beside `featx predict`.

    Attributes:
        pictures: How many were compared.
        source: ``store``, ``given``, or ``drawn`` where there were no photographs.
        difference: The largest of a probability, or of a number.
        changed: Pictures of which the answer is another one.
        reload_difference: Of the file in a fresh process from the same model in memory; None where
            there is none.
        fast_difference: Of the file from `featx predict` where that decodes large JPEGs at a
            fraction of their size, which a graph does not; None where there are none.
        labelled: Pictures of a known class that the head was not fitted on.
        accuracy: Of the file on these; None where there are none.
        accuracy_before: Of `featx predict` on the same ones.
    """

    pictures: int
    source: str
    difference: float
    changed: int
    reload_difference: float | None = None
    fast_difference: float | None = None
    labelled: int = 0
    accuracy: float | None = None
    accuracy_before: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def find_pictures(head: Head, images: Images, most: int) -> tuple[list[CheckPicture], str]:
    """Return pictures to compare with, and where they are from; see `ExportComparison.source`.

    Args:
        head: The head.
        images: Those that the user gave; of the head's store when empty.
        most: At most so many.
    """
    is_given = not (isinstance(images, (tuple, list)) and not images)
    files = _files_given(images) if is_given else _files_of_store(head)
    pictures: list[CheckPicture] = []
    known = {row.tobytes() for row in head.fitted_on}
    for data, label in files:
        try:
            pictures.append(_take(data, None if hash_content(data) in known else label, head))
        except ImageError:
            continue
        if len(pictures) == most:
            break
    if pictures:
        return pictures, "given" if is_given else "store"
    if is_given:
        raise HeadError("None of the pictures to compare with can be read.")
    return [_draw(number, head.model.input) for number in range(DRAWN)], "drawn"


def _files_given(images: Images) -> Iterator[tuple[bytes, str | None]]:
    found = gather(images)
    for item in found.items if found.stream is None else found.stream:
        try:
            yield item.read_bytes(), item.label
        except (OSError, ImageError):
            continue


def _files_of_store(head: Head) -> Iterator[tuple[bytes, str | None]]:
    """Yield files of the head's store that are where they were, those not fitted on first."""
    path = None
    if head.store is not None and head.folder is not None:
        path = head.store.find(head.folder)
    if path is None:
        return
    known = {row.tobytes() for row in head.fitted_on}
    reader = LocationReader(allow_download=False)
    with open_store(path) as store:
        order = np.random.default_rng(0).permutation(len(store))
        is_known = np.array([row.tobytes() in known for row in store.content_hash], bool)
        labels = store.labels
        for row in [*order[~is_known[order]], *order[is_known[order]]]:
            try:
                data = reader.read_key(store.root, store.keys[row])
            except (OSError, ImageError):
                continue
            if hash_content(data) == store.content_hash[row].tobytes():
                yield data, labels[row]


def _take(data: bytes, label: str | None, head: Head) -> CheckPicture:
    contract = head.model.input
    exact = replace(contract, decode="exact")
    colour = exact
    if contract.channels != 3:
        colour = replace(exact, channels=3)
    height, width = upright_size(data, contract)
    whole = replace(colour, height=height, width=width, resize="stretch")
    fitted = decode_image(data, exact)
    fast = decode_image(data, contract) if is_reduced(data, contract) else fitted
    return CheckPicture(decode_image(data, whole), fitted, fast, decode_image(data, colour), label)


def _draw(number: int, contract: InputSpec) -> CheckPicture:
    """Draw a picture of smooth colours, where there are no photographs."""
    import io

    from PIL import Image

    generator = np.random.default_rng(number)
    coarse = generator.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    picture = Image.fromarray(coarse).resize((320 - 20 * number, 200), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = file.getvalue()
    exact = replace(contract, decode="exact")
    small = decode_image(data, replace(exact, channels=3) if contract.channels != 3 else exact)
    fitted = decode_image(data, exact)
    return CheckPicture(np.asarray(picture), fitted, fitted, small, None)


def predict_with_featx(
    head: Head, backbone: Backbone, pixels: Sequence[np.ndarray], listener: Listener
) -> np.ndarray:
    """Return what `featx predict` says of pictures of the network's size, (N, K)."""
    network = accelerate(backbone, RunOptions(), listener)
    rows = []
    for one in pixels:
        values = network(one[np.newaxis], [head.feature.name])[head.feature.name]
        vectors = pool_features(values, head.feature.pool).reshape(1, -1)
        rows.append(head.temper(head.raw_proba(vectors))[0])
    return np.stack(rows)


def predict_apart(form: str, path: Path, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return what an exported file says of pictures in a process that has just begun, (N, K).

    Raises:
        HeadError: If it cannot be run there.
    """
    with tempfile.TemporaryDirectory(prefix="featx-") as folder:
        given, results = Path(folder) / "pictures.npz", Path(folder) / "results.npy"
        np.savez(given, *pictures)
        # As a script, it imports nothing of featx.
        command = [sys.executable, fresh.__file__, form, str(path), str(given), str(results)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | {"PYTHONSAFEPATH": "1"},  # Its neighbours are not libraries.
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise HeadError(f"The exported file cannot be run in a new process: {last}")
        return np.asarray(np.load(results))


def answers(head: Head, values: np.ndarray) -> np.ndarray:
    """Return what is answered by values (N, K): class numbers, or which labels apply."""
    if head.task == "multi":
        return np.asarray(values >= np.array(head.thresholds))
    if head.task == "regression":
        return np.zeros(len(values))
    return np.asarray(values.argmax(axis=1))


def compare(
    head: Head, pictures: Sequence[CheckPicture], before: np.ndarray, after: np.ndarray
) -> ExportComparison:
    """Compare what an exported file says, (N, K), with what featx says of the same pictures."""
    old, new = answers(head, before), answers(head, after)
    changed = (old != new).reshape(len(pictures), -1).any(axis=1)
    comparison = ExportComparison(
        len(pictures), "", float(np.abs(before - after).max()), int(changed.sum())
    )
    if head.task != "single":
        return comparison
    rows = [row for row, one in enumerate(pictures) if one.label in head.classes]
    if not rows:
        return comparison
    targets = np.array([head.classes.index(str(pictures[row].label)) for row in rows])
    return replace(
        comparison,
        labelled=len(rows),
        accuracy=float((new[rows] == targets).mean()),
        accuracy_before=float((old[rows] == targets).mean()),
    )
