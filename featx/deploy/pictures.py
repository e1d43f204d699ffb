"""Pictures that an exported model is compared with, and calibrated with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from featx.errors import HeadError, ImageError
from featx.files import hash_content
from featx.heads.head import Head
from featx.images.decode import decode_image, is_reduced, upright_size
from featx.images.sources import Images, gather
from featx.images.sources.locations import LocationReader
from featx.input_spec import InputSpec
from featx.store import open_store

MOST_PICTURES = 64
"""Photographs that are compared, of the store or of those that are given."""

MOST_PIXELS = 256 << 20
"""Pixels of all of them together, from which on there are enough: they are in memory at once."""

MOST_CALIBRATION = 128
"""Photographs that are calibrated with: TensorFlow's guide advises 100 to 500."""

DRAWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class CheckPicture:
    """A picture that is compared.

    Attributes:
        whole: All its pixels, uint8 (h, w, 3).
        fitted: Those that the network takes, unscaled, uint8 (H, W, C), decoded whole.
        fast: The same, decoded as the head's contract says.
        small: RGB of the network's size, uint8 (H, W, 3).
        label: Its class; None where it is not known.
        content_hash: Of its file; empty if it was drawn.
        is_fitted: Whether the head was fitted on it.
    """

    whole: np.ndarray
    fitted: np.ndarray
    fast: np.ndarray
    small: np.ndarray
    label: str | None
    content_hash: bytes = b""
    is_fitted: bool = False


def find_pictures(head: Head, images: Images, most: int) -> tuple[list[CheckPicture], str]:
    """Return pictures to compare with, and where they are from; see `ExportComparison.source`.

    Args:
        head: The head.
        images: Those that the user gave; of the head's store when empty.
        most: At most so many.
    """
    named = is_given(images)
    files = _files_given(images) if named else _files_of_store(head)
    pictures: list[CheckPicture] = []
    pixels = 0
    known = {row.tobytes() for row in head.fitted_on}
    for data, label in files:
        content_hash = hash_content(data)
        try:
            taken = _take(data, label, content_hash, head)
        except ImageError:
            continue
        pictures.append(replace(taken, is_fitted=content_hash in known))
        pixels += pictures[-1].whole.size // 3
        if len(pictures) == most or pixels >= MOST_PIXELS:
            break
    if pictures:
        return pictures, "given" if named else "store"
    if named:
        raise HeadError("None of the pictures to compare with can be read.")
    return [_draw(number, head.model.input) for number in range(DRAWN)], "drawn"


def find_calibration(
    head: Head, images: Images, compared: Sequence[CheckPicture]
) -> tuple[list[np.ndarray], bool]:
    """Return pictures that show which values occur, and whether they are others than `compared`.

    Args:
        head: The head.
        images: Those that the user gave; those that the head was fitted on, of its store, when
            empty. Where there are no others there, these are the compared ones.
        compared: What the result will be compared with.

    Returns:
        RGB of the network's size, uint8 (H, W, 3), each.
    """
    named = is_given(images)
    files = _files_given(images) if named else _files_of_store(head, fitted_first=True)
    used = set() if named else {one.content_hash for one in compared}
    contract = _in_colour(head.model.input)
    pictures: list[np.ndarray] = []
    for data, _ in files:
        if hash_content(data) in used:
            continue
        try:
            pictures.append(decode_image(data, contract))
        except ImageError:
            continue
        if len(pictures) == MOST_CALIBRATION:
            break
    if named and not pictures:
        raise HeadError("None of the pictures to calibrate with can be read.")
    if not pictures:
        return [one.small for one in compared if one.content_hash], False
    return pictures, True


def is_given(images: Images) -> bool:
    """Whether a user named images, an empty list not counted."""
    return not (isinstance(images, (tuple, list)) and not images)


def _in_colour(contract: InputSpec) -> InputSpec:
    """Return the contract of pictures that are decoded whole, in colour."""
    return replace(contract, decode="exact", channels=3)


def _files_given(images: Images) -> Iterator[tuple[bytes, str | None]]:
    found = gather(images)
    for item in found.items if found.stream is None else found.stream:
        try:
            yield item.read_bytes(), item.label
        except (OSError, ImageError):
            continue


def _files_of_store(
    head: Head, *, fitted_first: bool = False
) -> Iterator[tuple[bytes, str | None]]:
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
        is_first = is_known[order] if fitted_first else ~is_known[order]
        for row in [*order[is_first], *order[~is_first]]:
            try:
                data = reader.read_key(store.root, store.keys[row])
            except (OSError, ImageError):
                continue
            if hash_content(data) == store.content_hash[row].tobytes():
                yield data, labels[row]


def _take(data: bytes, label: str | None, content_hash: bytes, head: Head) -> CheckPicture:
    contract = head.model.input
    exact, colour = replace(contract, decode="exact"), _in_colour(contract)
    height, width = upright_size(data, contract)
    whole = replace(colour, height=height, width=width, resize="stretch")
    fitted = decode_image(data, exact)
    fast = decode_image(data, contract) if is_reduced(data, contract) else fitted
    small = decode_image(data, colour)
    return CheckPicture(decode_image(data, whole), fitted, fast, small, label, content_hash)


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
    small = decode_image(data, _in_colour(contract))
    fitted = decode_image(data, replace(contract, decode="exact"))
    return CheckPicture(np.asarray(picture), fitted, fitted, small, None)
