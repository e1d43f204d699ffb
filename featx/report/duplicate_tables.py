"""Groups of copies on stdout: a table, paths, JSON lines, CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.drawing import (
    PIPED_WIDTH,
    make_table,
    print_result,
    terminal_width,
    write_name,
)
from featx.report.json_lines import write_json
from featx.report.text import common_folder, short_path
from featx.text_files import quote_formula
from featx.units import format_bytes, format_count

if TYPE_CHECKING:
    from featx.curation.duplicate_groups import DuplicateGroup, DuplicatePicture, DuplicatesReport
    from featx.events import Listener
    from featx.report.columns import Table

TABLE_PICTURES = 500
"""Pictures from which on no further group is in the table; all are in the other forms."""


def show_duplicates(report: DuplicatesReport) -> None:
    """Draw the groups, and say from when on pictures count as copies."""
    shown: list[DuplicateGroup] = []
    pictures = 0
    for group in report.groups:
        if pictures >= TABLE_PICTURES:
            break
        shown.append(group)
        pictures += len(group.pictures)
    if shown:
        _show_groups(shown)
    if len(report.groups) > len(shown):
        print_result(f"and {format_count(len(report.groups) - len(shown), 'further group')}")
    for line in describe_duplicates(report):
        print_result(line)


def _show_groups(groups: Sequence[DuplicateGroup]) -> None:
    """Draw some groups; the folder of all pictures is above the table where there is no room."""
    table = _draw_groups(groups, "")
    folder = common_folder([short_path(one.path) for group in groups for one in group.pictures])
    if folder and table.width() > (terminal_width() or PIPED_WIDTH):
        print_result(f"pictures in {folder}:")
        table = _draw_groups(groups, folder)
    print_result(table, piped=PIPED_WIDTH)


def _draw_groups(groups: Sequence[DuplicateGroup], folder: str) -> Table:
    """Return the table of some groups, the paths without the folder that they begin with."""
    has_mirrored = any(one.is_mirrored for group in groups for one in group.pictures)
    further = ["copy"] if has_mirrored else []
    table = make_table("group", "similarity", *further, "size", "label", "picture", right=(0, 1))
    for number, group in enumerate(groups, start=1):
        for place, one in enumerate(group.pictures):
            table.add_row(
                str(number) if place == 0 else "",
                "best" if place == 0 else f"{one.similarity:.4f}",
                *(["mirrored" if one.is_mirrored else ""] if has_mirrored else []),
                describe_size(one),
                one.label or "",
                short_path(one.path)[len(folder) :],
            )
        table.add_section()
    return table


def describe_duplicates(report: DuplicatesReport) -> Iterator[str]:
    """Yield what was found and how, in sentences."""
    copies = sum(len(group.pictures) for group in report.groups)
    exact = sum(group.is_exact for group in report.groups)
    between = " that are on both sides" if report.is_between else ""
    if report.groups:
        groups = format_count(len(report), "group")
        identical = f", {exact:,} of them of identical files" if exact else ""
        yield (
            f"{copies:,} of {format_count(report.num_images, 'image')} in {groups} of copies"
            f"{between}{identical}; {len(report.can_go):,} can go"
        )
    else:
        yield f"no copies{between} among {format_count(report.num_images, 'image')}"
    yield (
        f"near-duplicates: similarity of at least {report.threshold:.4g} in layer {report.layer} "
        f"({report.origin})"
    )
    if report.recall is not None:
        yield f"not all pairs were compared: {report.recall:.1%} of those that there are are found"


def describe_copy(one: DuplicatePicture) -> str:
    """Return similarity, size, label and split of a picture in a line."""
    turned = "mirrored" if one.is_mirrored else ""
    parts = [f"{one.similarity:.3f}", turned, describe_size(one), one.label, one.split]
    return ", ".join(part for part in parts if part)


def describe_size(one: DuplicatePicture) -> str:
    """Return the pixels of a picture, if they are known, and the size of its file."""
    pixels = "" if one.width is None else f"{one.width}×{one.height}, "
    return f"{pixels}{format_bytes(one.file_size)}"


def write_duplicates(report: DuplicatesReport) -> None:
    """Write ``{"group", "keys", "best", "similarity", "exact"}`` for each group.

    Of two stores, ``keys`` are those in the first, and ``other_keys`` those in the other.
    ``mirrored`` are the keys of pictures that are mirror images of the best, where there are any.
    """
    for number, group in enumerate(report.groups, start=1):
        write_json({"group": number} | group.to_dict())


def write_duplicates_csv(report: DuplicatesReport, *, csv_safe: bool = False) -> None:
    """Write a line of CSV for each picture of each group.

    Args:
        report: The groups.
        csv_safe: Write an apostrophe before texts that a spreadsheet would take for a formula.
    """
    text = quote_formula if csv_safe else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["group", "key", "best", "similarity", "exact", "can_go", "path", "mirrored"])
    for number, group in enumerate(report.groups, start=1):
        for place, one in enumerate(group.pictures):
            exact = int(one.content_hash == group.pictures[0].content_hash)
            values = [int(place == 0), f"{one.similarity:.6f}", exact, int(one.can_go)]
            key, path = text(one.key), text(short_path(one.path))
            writer.writerow([number, key, *values, path, int(one.is_mirrored)])


def show_removable(report: DuplicatesReport, end: str, listener: Listener) -> None:
    """Write the paths of what can go, each with `end` behind it, for pipes.

    What no path names is left out, and a note says so: pictures inside of archives and in memory,
    and names with a newline where lines end by one.
    """
    inside = broken = 0
    for one in (one for group in report for one in group.pictures if one.can_go):
        path = short_path(one.path)
        if not one.is_file:
            inside += 1
        elif end in path:
            broken += 1
        else:
            write_name(path, end)
    if inside:
        count = format_count(inside, "picture")
        listener.note(
            f"{count} that can go left out: in an archive or in memory, no file to delete"
        )
    if broken:
        count = format_count(broken, "path")
        listener.note(f"{count} with a line break left out: -0 writes them")
