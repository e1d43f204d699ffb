"""Views of what was found in a store: copies and findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from featx.report.duplicate_tables import describe_copy
from featx.report.text import short_path
from featx.report.views.view import MOST_PICTURES, MOST_ROWS, Picture, Rows, View, list_facts

if TYPE_CHECKING:
    from featx.curation.duplicates import DuplicateGroup, DuplicatesReport

PICTURED_GROUPS = 3
"""Groups that are shown as pictures; the others are in the table."""


def view_duplicates(report: DuplicatesReport) -> View:
    """Return the groups, the first ones with pictures."""
    cells = [
        (
            str(len(group.pictures)),
            "identical" if group.is_exact else f"{group.similarity:.4f}",
            group.best,
            ", ".join(one.key for one in group.pictures[1:4]),
        )
        for group in report.groups[:MOST_ROWS]
    ]
    shown = report.groups[:PICTURED_GROUPS]
    each = MOST_PICTURES // max(1, len(shown))
    recall = "" if report.recall is None else f"{report.recall:.3f}"
    return View(
        "DuplicatesReport",
        "",
        list_facts(
            ("groups", f"{len(report):,}"),
            ("can go", f"{len(report.can_go):,}"),
            ("images compared", f"{report.num_images:,}"),
            ("least similarity", f"{report.threshold:.4g} ({report.origin})"),
            ("recall", recall),
            ("layer", report.layer),
        ),
        Rows(("pictures", "similarity", "best", "others"), cells, len(report), (0, 1)),
        tuple((group.best, _pictures(group, each)) for group in shown),
    )


def view_group(group: DuplicateGroup) -> View:
    """Return the copies of one picture."""
    cells = [(one.key, describe_copy(one)) for one in group.pictures[:MOST_ROWS]]
    return View(
        "DuplicateGroup",
        group.best,
        list_facts(
            ("pictures", f"{len(group.pictures):,}"),
            ("similarity", f"{group.similarity:.4f}"),
            ("identical", "yes" if group.is_exact else "no"),
        ),
        Rows(("picture", "similarity, size"), cells, len(group.pictures)),
        (("", _pictures(group, MOST_PICTURES)),),
    )


def _pictures(group: DuplicateGroup, most: int) -> tuple[Picture, ...]:
    return tuple(
        Picture(one.path, short_path(one.path), one.key, describe_copy(one), key=one.key)
        for one in group.pictures[:most]
    )


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "DuplicateGroup": view_group,
    "DuplicatesReport": view_duplicates,
}
