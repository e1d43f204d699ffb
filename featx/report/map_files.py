"""A map as a file: a page, a picture, or a table for Embedding Atlas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featx.errors import InvalidValue
from featx.events import Listener
from featx.files import describe_wrong_output, is_wrong_output
from featx.images.sources import is_sheet
from featx.report.page import check_page_path

if TYPE_CHECKING:
    from featx.curation.mapping import MapReport


def check_map_path(path: Path) -> None:
    """Refuse a path that cannot be that of a map, or that something else has.

    Raises:
        InvalidValue: Says what to do.
    """
    ending = path.suffix.lower()
    if ending in (".html", ".htm"):
        check_page_path(path)
        return
    if ending not in (".png", ".parquet"):
        raise InvalidValue(
            f"A map is a page (.html), a picture (.png) or a table for Embedding Atlas (.parquet). "
            f"Received: {str(path)!r}."
        )
    if is_wrong_output(path):
        raise InvalidValue(describe_wrong_output(path, "map"))
    if ending == ".png" and path.exists() and not is_sheet(path):
        raise InvalidValue(
            f"{str(path)!r} exists and is not a map of featx; it is left alone. Choose another "
            "name for the map."
        )


def write_map(report: MapReport, path: Path, thumbnails: int, listener: Listener) -> None:
    """Write a map; see `featx.curation.mapping.MapReport.write`."""
    check_map_path(path)
    ending = path.suffix.lower()
    if ending == ".png":
        from featx.report.map_picture import write_map_picture

        write_map_picture(report, path, listener)
    elif ending == ".parquet":
        from featx.report.map_parquet import write_map_parquet

        write_map_parquet(report, path, listener)
    else:
        from featx.report.map_page import write_map_page

        write_map_page(report, path, thumbnails, listener)
