"""A map as a Parquet file that Embedding Atlas opens without computing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx.atomic import replace_file
from featx.curation.pictures import PictureFile
from featx.errors import ImageError, InvalidValue
from featx.events import Listener
from featx.heads.near_duplicates import mean_of
from featx.index.all_neighbours import Directions, find_neighbours
from featx.report.map_tables import describe_image, picture_file
from featx.report.page.sprites import read_thumbnails
from featx.units import format_count

if TYPE_CHECKING:
    from featx.curation.mapping import MapReport

NEIGHBOURS = 15
"""Of each image."""

GROUP = 2_000
"""Rows that are written at a time: about 20 MB of thumbnails."""


def write_map_parquet(report: MapReport, path: Path, listener: Listener) -> None:
    """Write ``key, x, y, label, split, cluster, score, finding``, and ``neighbors`` and ``image``.

    As its documentation says: a value of ``neighbors`` has the numbers of the nearest rows,
    ``ids``, and their ``distances``; one of ``image`` has the ``bytes`` of a JPEG, and a ``path``.

    Args:
        report: The map.
        path: The file.
        listener: Receives progress, and how the file is opened.

    Raises:
        InvalidValue: If it cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    text, number = pyarrow.string(), pyarrow.float64()
    neighbours_type = pyarrow.struct(
        {"ids": pyarrow.list_(pyarrow.int64()), "distances": pyarrow.list_(pyarrow.float32())}
    )
    image_type = pyarrow.struct({"bytes": pyarrow.binary(), "path": text})
    types = {"key": text, "x": number, "y": number, "label": text, "split": text}
    types |= {"cluster": text, "score": number, "finding": text}
    types |= {"neighbors": neighbours_type, "image": image_type}
    schema = pyarrow.schema(list(types.items()))
    directions = Directions(report.values, mean_of(report.values))
    near = find_neighbours(directions, np.arange(len(report)), NEIGHBOURS, listener)
    files = [picture_file(report, row) for row in range(len(report))]
    missing = 0
    try:
        with (
            replace_file(path) as temporary,
            pyarrow.parquet.ParquetWriter(temporary, schema) as writer,
        ):
            for start in range(0, len(report), GROUP):
                part = files[start : start + GROUP]
                pictures = list(read_thumbnails(part, listener))
                missing += sum(isinstance(one, ImageError) for one in pictures)
                lines = []
                for row, picture in enumerate(pictures, start=start):
                    line = describe_image(report, row)
                    line["neighbors"] = _describe_near(near.rows[row], near.similarity[row])
                    line["image"] = _describe_picture(files[row], picture)
                    lines.append({name: _writable(value) for name, value in line.items()})
                writer.write_table(pyarrow.Table.from_pylist(lines, schema))
    except OSError as error:
        raise InvalidValue(f"{str(path)!r} cannot be written: {error.strerror}.") from error
    if missing:
        listener.note(f"{format_count(missing, 'image has', 'images have')} no thumbnail")
    listener.note("Embedding Atlas opens it with the columns x, y, neighbors and image")


def _describe_near(rows: np.ndarray, similarity: np.ndarray) -> dict[str, list[float]]:
    is_found = rows >= 0
    distances = np.maximum(1 - similarity[is_found], 0)
    return {"ids": rows[is_found].tolist(), "distances": distances.tolist()}


def _describe_picture(
    file: PictureFile, picture: bytes | ImageError
) -> dict[str, bytes | str] | None:
    if isinstance(picture, ImageError):
        return None
    return {"bytes": picture, "path": str(_writable(file.key))}


def _writable(value: object) -> object:
    """Return a text without halves of surrogate pairs, which Parquet cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
