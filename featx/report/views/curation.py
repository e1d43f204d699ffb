"""Views of what was found in a store: copies and findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from featx.report.duplicate_tables import describe_copy
from featx.report.finding_tables import describe_finding
from featx.report.map_tables import describe_labels
from featx.report.text import short_path
from featx.report.views.view import MOST_PICTURES, MOST_ROWS, Picture, Rows, View, list_facts

if TYPE_CHECKING:
    from featx.curation.auditing import AuditReport
    from featx.curation.duplicate_groups import DuplicateGroup, DuplicatesReport
    from featx.curation.findings import Finding
    from featx.curation.mapping import MapReport
    from featx.curation.selecting import SelectedPicture, SelectReport

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


def view_audit(report: AuditReport) -> View:
    """Return the first findings of each kind, and how many there are."""
    counts = {kind: count for kind, count in report.counts.items() if count}
    each = max(1, MOST_ROWS // max(1, len(counts)))
    shown = [finding for kind in counts for finding in report.of_kind(kind)[:each]]
    cells = [
        (finding.kind, f"{finding.score:.3f}", *describe_finding(finding)[:4])
        for finding in shown[:MOST_ROWS]
    ]
    return View(
        "AuditReport",
        "",
        list_facts(
            ("findings", f"{len(report):,}"),
            *((kind, f"{count:,}") for kind, count in counts.items()),
            ("images", f"{report.num_images:,}"),
            ("layer", report.layer),
            ("not looked for", ", ".join(report.skipped)),
        ),
        Rows(("kind", "score", "picture", "given", "suggested", "other"), cells, len(report), (1,)),
    )


def view_finding(finding: Finding) -> View:
    """Return one finding, with its picture."""
    key, given, suggested, other, detail = describe_finding(finding)
    picture = () if finding.path is None else (Picture(finding.path, key, given, detail, key=key),)
    return View(
        "Finding",
        key,
        list_facts(
            ("kind", finding.kind),
            ("score", f"{finding.score:.3f}"),
            ("given", given),
            ("suggested", suggested),
            ("other", other),
            ("what", detail),
        ),
        pictures=(("", picture),) if picture else (),
    )


def view_selection(report: SelectReport) -> View:
    """Return the first pictures that were chosen."""
    cells = [
        (one.key, one.label or "", "" if one.score is None else f"{one.score:.3f}")
        for one in report.pictures[:MOST_ROWS]
    ]
    pictures = tuple(_picture(one) for one in report.pictures[:MOST_PICTURES])
    return View(
        "SelectReport",
        "",
        list_facts(
            ("chosen", f"{len(report):,}"),
            ("images", f"{report.num_images:,}"),
            ("strategy", report.strategy),
            ("layer", report.layer),
        ),
        Rows(("picture", "label", "score"), cells, len(report), (2,)),
        (("", pictures),) if pictures else (),
    )


def view_selected(one: SelectedPicture) -> View:
    """Return one picture that was chosen."""
    score = "" if one.score is None else f"{one.score:.3f}"
    facts = list_facts(("score", score), ("label", one.label or ""), ("split", one.split or ""))
    return View("SelectedPicture", one.key, facts, pictures=(("", (_picture(one),)),))


def _picture(one: SelectedPicture) -> Picture:
    detail = "" if one.score is None else f"{one.score:.3f}"
    return Picture(one.path, short_path(one.path), one.label or one.key, detail, key=one.key)


def view_map(report: MapReport) -> View:
    """Return the clusters of a map, with a picture of each."""
    cells = [
        (one.name, f"{one.size:,}", describe_labels(one), report.keys[one.representatives[0]])
        for one in report.clusters[:MOST_ROWS]
    ]
    pictures = []
    for one in report.clusters[:MOST_PICTURES]:
        row = one.representatives[0]
        path, key = report.root.location(report.keys[row]), report.keys[row]
        pictures.append(Picture(path, short_path(path), one.name, f"{one.size:,}", key=key))
    headers = ("cluster", "images", "labels", "for example")
    return View(
        "MapReport",
        "",
        list_facts(
            ("images", f"{len(report):,}"),
            ("clusters", f"{len(report.clusters):,}"),
            ("layout", report.layout),
            ("clustering", report.clustering),
            ("layer", report.layer),
        ),
        Rows(headers, cells, len(report.clusters), (1,)),
        (("", tuple(pictures)),) if pictures else (),
    )


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "AuditReport": view_audit,
    "DuplicateGroup": view_group,
    "DuplicatesReport": view_duplicates,
    "Finding": view_finding,
    "MapReport": view_map,
    "SelectReport": view_selection,
    "SelectedPicture": view_selected,
}
