"""A table of chosen pictures, which `extract` takes as images and `fit-head` as labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.atomic import replace_file
from featx.errors import InvalidValue
from featx.files import describe_wrong_output
from featx.images.roots import Root

if TYPE_CHECKING:
    from featx.curation.selecting import SelectedPicture


def check_manifest_path(path: Path) -> None:
    """Refuse a path that cannot be that of a manifest.

    Raises:
        InvalidValue: Says what to do.
    """
    if path.suffix.lower() != ".csv":
        raise InvalidValue(f"A manifest is a CSV file: NAME.csv. Received: {str(path)!r}.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InvalidValue(describe_wrong_output(path))


def write_manifest(pictures: Sequence[SelectedPicture], root: Root, path: Path) -> None:
    """Write a manifest; see `featx.curation.selecting.SelectReport.write`."""
    check_manifest_path(path)
    has_splits = any(one.split for one in pictures)
    names = ["path", "label", *(["split"] if has_splits else []), "score"]
    try:
        with (
            replace_file(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            for one in pictures:
                split = [one.split or ""] if has_splits else []
                score = "" if one.score is None else one.score
                name = _name(one.key, root, path.absolute().parent)
                writer.writerow([name, one.label or "", *split, score])
    except OSError as error:
        raise InvalidValue(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def _name(key: str, root: Root, folder: Path) -> str:
    """Return a picture's path as the manifest has it."""
    if not root.is_on_disk or root.path.is_file():
        return key
    path = os.path.normpath(root.location(key))
    relative = os.path.relpath(path, folder)
    return path if relative.startswith(os.pardir) else relative.replace(os.sep, "/")
