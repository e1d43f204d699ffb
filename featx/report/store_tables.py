"""Output about stores: extracting, checking, packing, merging, describing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featx.images.roots import Root
from featx.report.drawing import make_table, print_facts, print_result
from featx.report.text import short_path
from featx.specs import describe_precision, describe_quantization, describe_speed
from featx.store.shifted import DECODERS
from featx.units import format_bytes, format_count, format_rate, format_shape
from featx.wording import command, option

if TYPE_CHECKING:
    from featx.extraction.report import ExtractReport
    from featx.store import MergeReport, PackReport, VerifyReport

SHOWN_FAILURES = 10
SHOWN_RUNS = 5
SHOWN_KEYS = 5
SHOWN_COLUMNS = 20

SHORTEST_RUN = 0.001
"""Least seconds of which a rate is shown: they are recorded in thousandths."""


def show_extract_report(report: ExtractReport) -> None:
    """Write what an extraction did, in a line or two."""
    reused = report.reused - report.renamed
    parts = [f"{report.done:,} {'to compute' if report.dry_run else 'computed'}"]
    parts += [f"{report.skipped:,} already there"]
    parts += [f"{report.renamed:,} renamed"] if report.renamed else []
    parts += [f"{reused:,} identical to others"] if reused else []
    parts += [f"{report.failed:,} failed"] if report.failed else []
    parts += [f"{report.removed:,} removed"] if report.removed else []
    parts += [f"{report.missing:,} without their image"] if report.missing else []
    prefix = "nothing was written; there would be " if report.dry_run else ""
    rows = format_count(report.rows, "row")
    print_result(f"{short_path(report.output)}: {prefix}{rows} ({', '.join(parts)})")
    if report.done and not report.dry_run:
        spent = [
            f"{text} {report.seconds[name]:.1f}"
            for name, text in _SPENT.items()
            if name in report.seconds and not (name == "choose" and "convert" in report.seconds)
        ]
        rate = report.images_per_second
        shown = f"{format_rate(rate)} images/s; " if rate else ""
        print_result(f"{shown}seconds: {', '.join(spent)}")


_SPENT = {
    "load": "load",
    "choose": "choose the engine",  # Of reports that do not say its parts.
    "convert": "convert",
    "compare": "compare",
    "read": "waiting for images",
    "compute": "compute",
    "write": "write",
}
"""Where the time of an extraction went → what it is called."""


def show_store(summary: Mapping[str, Any]) -> None:
    """Draw what ``featx info`` found."""
    print_facts(
        ("store", *_describe_store(summary)),
        ("rows", _describe_rows(summary)),
        ("images in", _describe_root(summary["root"])),
        ("classes", _describe_classes(summary["classes"], summary["unlabelled"])),
        *([("splits", describe_counts(summary["splits"]))] if summary["splits"] else []),
        *([("columns", _describe_columns(summary))] if summary["columns"] else []),
        ("model", summary["model"]),
        ("weights", short_path(summary["weights"])),
        ("SHA-256", summary["weights_sha256"]),
        ("input", _describe_input(summary["input"])),
        ("fingerprint", summary["fingerprint"]),
        *(("computed", *describe_run(run)) for run in summary["runs"][-SHOWN_RUNS:]),
    )
    print_result("")
    table = make_table("layer", "pool", "shape of a row", "type", "size", right=(4,))
    for feature in summary["features"]:
        table.add_row(
            feature["layer"],
            feature["pool"],
            format_shape(feature["shape"]),
            feature["dtype"],
            format_bytes(feature["bytes"]),
        )
    print_result(table)
    failures = summary["failures"]
    if failures:
        print_result(f"{format_count(len(failures), 'image')} failed:")
        for failure in failures[:SHOWN_FAILURES]:
            print_result(f"  {failure['key']}: {failure['reason']}")
        if len(failures) > SHOWN_FAILURES:
            print_result(f"  and {len(failures) - SHOWN_FAILURES:,} more (--json lists all)")


def _describe_input(contract: Mapping[str, Any]) -> str:
    exif = "applied" if contract["exif"] == "apply" else "ignored"
    return (
        f"{contract['height']}×{contract['width']}×{contract['channels']} "
        f"{contract['channel_order']}, {contract['scaling']} scaling, {contract['resize']}, "
        f"{contract['interpolation']}, EXIF orientation {exif}, {contract['decode']} decoding"
        f"{', converted to sRGB by profiles' if contract.get('icc') == 'apply' else ''}"
    )


def _describe_root(root: str) -> str:
    is_whole_disk = Root.parse(root).is_whole_disk
    return f"{root} (folders that share no other)" if is_whole_disk else short_path(root)


def show_verify_report(report: VerifyReport) -> None:
    """Say that all is well, or what is damaged."""
    hashed = f", {format_count(report.images, 'image')}" if report.images else ""
    checked = (
        f"{format_count(report.rows, 'row')} in {format_count(report.files, 'file')}, "
        f"{format_bytes(report.num_bytes)}{hashed}"
    )
    if report.is_intact:
        print_result(f"{short_path(report.store)}: intact ({checked})")
        if report.repaired:
            dropped = format_count(
                report.dropped,
                "row of a changed image was dropped",
                "rows of changed images were dropped",
            )
            print_result(dropped)
    else:
        for damage in report.damages:
            rows = f"; {format_count(len(damage.keys), 'row')}: {_some(damage.keys)}"
            print_result(
                f"{short_path(damage.file)}: {damage.problem}{rows if damage.keys else ''}"
            )
        print_result(f"{short_path(report.store)}: damaged ({checked})")
        print_result(_describe_repair(report))
    if report.unused:
        print_result(
            format_count(len(report.unused), "part is", "parts are")
            + f" not in it; the same {command('extract')} takes in what is unfinished and removes "
            f"the rest: {_some(report.unused)}"
        )
    _show_image_findings(report)


def _describe_repair(report: VerifyReport) -> str:
    """Say how a damaged store was repaired, or can be."""
    if report.repaired and not report.rows:
        return "repaired: the view was made again from its parts"
    if report.repaired:
        dropped = format_count(report.dropped, "row was dropped", "rows were dropped")
        return f"repaired: {dropped}; the same {command('extract')} computes what is missing again"
    if report.repairable:
        drop, compute = command("verify", repair=True), command("extract")
        return f"{drop} drops these rows; {compute} computes them again"
    return f"It cannot be repaired: extract again with {option('overwrite', True)}"


def _show_image_findings(report: VerifyReport) -> None:
    if report.changed:
        print_result(
            format_count(
                len(report.changed),
                "image is not the one that was extracted: ",
                "images are not those that were extracted: ",
            )
            + _some(report.changed)
        )
    if report.missing:
        gone = format_count(len(report.missing), "image is gone", "images are gone")
        print_result(f"{gone}: {_some(report.missing)}")
    if report.unreadable:
        reasons = [f"{key} ({reason})" for key, reason in report.unreadable.items()]
        print_result(f"{format_count(len(reasons), 'image')} cannot be read: {_some(reasons)}")


def show_pack_report(report: PackReport) -> None:
    """Say what was packed."""
    made = f" made of {format_count(report.parts, 'part')}" if report.parts else ""
    print_result(
        f"{short_path(report.output)}: {format_count(report.rows, 'row')} in one file, "
        f"{format_bytes(report.num_bytes)}{made}"
    )


def show_merge_report(report: MergeReport) -> None:
    """Say what was merged, and which keys several stores had."""
    print_result(
        f"{short_path(report.output)}: {format_count(report.rows, 'row')} from "
        f"{format_count(report.sources, 'store')}"
    )
    if report.duplicates:
        print_result(
            format_count(len(report.duplicates), "image was", "images were")
            + f" in several, with the same content: {_some(report.duplicates)}"
        )
    if report.conflicts:
        print_result(
            format_count(len(report.conflicts), "image was", "images were")
            + f" in several, with different content: {_some(report.conflicts)}"
        )
    if report.unfinished:
        print_result(
            format_count(len(report.unfinished), "store is", "stores are")
            + f" not finished: {_some(report.unfinished)}. The same command adds what comes."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_KEYS:,} more" if len(names) > SHOWN_KEYS else ""
    return ", ".join(names[:SHOWN_KEYS]) + more


def _describe_store(summary: Mapping[str, Any]) -> list[str]:
    lines = [f"{short_path(summary['path'])}, {format_bytes(summary['bytes'])}"]
    if summary["kind"] == "view":
        lines.append(
            f"a view of {format_count(len(summary['parts']), 'part file')} "
            f"({format_bytes(summary['parts_bytes'])}) that must stay beside it"
        )
    if summary["missing_parts"]:
        lines.append(f"MISSING: {_some(summary['missing_parts'])}")
    return lines


def _describe_rows(summary: Mapping[str, Any]) -> str:
    missing = summary["missing"]
    gone = (
        f", {missing:,} without their image ({option('prune', True)} removes them)"
        if missing
        else ""
    )
    return f"{summary['rows']:,}{gone}"


def describe_run(run: Mapping[str, Any]) -> list[str]:
    """Say in some lines when rows were computed, by what, and with which versions."""
    facts = {name: value for name, value in run.items() if name not in _RUN_FACTS}
    # Libraries that decode are a table of their own; what else is no text is for programs.
    versions = [f"{name} {value}" for name, value in facts.items() if isinstance(value, str)]
    decoders = [f"{name} {value}" for name, value in run.get(DECODERS, {}).items()
                if name not in facts]  # fmt: skip
    precision = describe_precision(str(run.get("precision")))
    comparison = _describe_comparison(run)
    started = run["started"][:16].replace("T", " ")
    by = f" by {format_count(run['workers'], 'worker')}" if "workers" in run else ""
    return [
        f"{format_count(run['computed'], 'image')} on {started} UTC in "
        f"{_run_seconds(run):.1f} s{by}{_describe_rate(run)}",
        f"{run.get('engine')} in {precision}{comparison}",
        ", ".join(versions),
        *_describe_beginning(run),
        *([f"decoders: {', '.join(decoders)}"] if decoders else []),
    ]


def _run_seconds(run: Mapping[str, Any]) -> float:
    """Return how long a run took: what workers take at the same time is added up in its record."""
    seconds: float = run.get("seconds", 0) / max(1, run.get("workers", 1))
    return seconds


def _describe_beginning(run: Mapping[str, Any]) -> list[str]:
    """Write what was done before images were only computed; nothing of runs that do not say it."""
    spent = [
        f"{text} {run[name]:.1f} s"
        for name, text in _BEGINNING.items()
        if run.get(name, 0) >= SHOWN_SECONDS
    ]
    return [f"before that: {', '.join(spent)}"] if spent else []


SHOWN_SECONDS = 0.05
"""Less is shown as 0.0."""

_BEGINNING = {
    "loading_seconds": "loading the model",
    "converting_seconds": "converting it",
    "comparing_seconds": "comparing",
}
"""Entry of a run → what took so long."""


def _describe_rate(run: Mapping[str, Any]) -> str:
    """Write the images per second of a run, empty where it is not known.

    Converting a network and comparing engines is not counted, nor are the images computed by then;
    older runs do not say how long that took.
    """
    seconds = _run_seconds(run) - run.get("choosing_seconds", 0)
    images = run["computed"] - run.get("choosing_images", 0)
    is_known = images > 0 and seconds >= SHORTEST_RUN
    return f", {format_rate(images / seconds)} images/s" if is_known else ""


_RUN_FACTS = (
    "started", "computed", "seconds", "engine", "precision", "lowest_cosine", "compared_images",
    "compared_precision", "compared_engine", "speed_ratio", "choosing_seconds", "choosing_images",
    *_BEGINNING, "decoders", "decoding", "shifted", "quantization",
)  # fmt: skip


def _describe_comparison(run: Mapping[str, Any]) -> str:
    """Say how near precision and decoding are to exact ones, at worst; how engines compare."""
    parts = []
    if run.get("lowest_cosine"):
        compared = run.get("compared_precision", "bfloat16")
        of = "" if run.get("precision") == compared else f"of {describe_precision(compared)} "
        cosine = min(run["lowest_cosine"].values())
        images = format_count(run["compared_images"], "image")
        parts.append(f"lowest cosine {of}{cosine:.5f} in {images}")
    parts += filter(None, [describe_quantization(run)])
    if run.get("decoding"):
        cosine = min(run["decoding"]["lowest_cosine"].values())
        images = format_count(run["decoding"]["images"], "image")
        parts.append(f"lowest cosine of fast decoding {cosine:.5f} in {images}")
    if run.get("speed_ratio"):
        parts.append(describe_speed(run))
    return f" ({'; '.join(parts)})" if parts else ""


def describe_counts(counts: Mapping[str, int]) -> str:
    """Write counts of names: ``train 600, test 100``; the first twenty.

    Where names end in digits, as classes that are numbers do: ``0 (600), 1 (100)``.
    """
    first = list(counts.items())[:20]
    form = "{} ({:,})" if any(name[-1:].isdigit() for name, _ in first) else "{} {:,}"
    shown = ", ".join(form.format(name, count) for name, count in first)
    return shown + (f" and {len(counts) - 20} more" if len(counts) > 20 else "")


def _describe_columns(summary: Mapping[str, Any]) -> str:
    """Write what further columns hold: ``age (int64, 3 missing), camera (text)``."""
    shown = []
    for name, column in list(summary["columns"].items())[:SHOWN_COLUMNS]:
        missing = f", {column['missing']:,} missing" if column["missing"] else ""
        shown.append(f"{name} ({column['kind']}{missing})")
    rest = len(summary["columns"]) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _describe_classes(classes: Mapping[str, int], unlabelled: int) -> str:
    if not classes:
        return "none (images have no labels)"
    rest = f"; {unlabelled:,} without" if unlabelled else ""
    return f"{len(classes)}: {describe_counts(classes)}{rest}"
