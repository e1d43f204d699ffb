"""Groups of copies by imagededup, for the table of `benchmarks.curation --find`.

imagededup needs PyTorch: give it an environment of its own, and run this file with it.

    python -m venv other && other/bin/pip install imagededup
    other/bin/python benchmarks/curation/imagededup_groups.py FOLDER groups.json
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METHODS = {"PHash": (4, 10), "DHash": (10,), "AHash": (10,), "WHash": (10,)}
"""Its hashes, and how many of 64 bits may differ; 10 is its default."""


def find_groups(near: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield groups: each picture takes what is near it and free, as featx's best one does."""
    taken: set[str] = set()
    for key in sorted(near):
        if key in taken:
            continue
        others = [other for other in near[key] if other not in taken]
        taken.update([key, *others])
        if others:
            yield [key, *others]


def main() -> None:
    """Write a list of ``{"name", "groups", "seconds"}``."""
    from imagededup import methods  # type: ignore[import-not-found]

    folder, output = map(Path, sys.argv[1:])
    results: list[dict[str, Any]] = []
    for name, distances in METHODS.items():
        started = _processor_seconds()
        hasher = getattr(methods, name)(verbose=False)
        encoded = hasher.encode_images(image_dir=folder, recursive=True)
        hashed = _processor_seconds() - started
        for distance in distances:
            started = _processor_seconds()
            near = hasher.find_duplicates(
                encoding_map=encoded, max_distance_threshold=distance, scores=False
            )
            seconds = hashed + _processor_seconds() - started
            groups = list(find_groups(near))
            label = f"imagededup {name}, {distance} bits"
            results.append({"name": label, "groups": groups, "seconds": seconds})
            print(f"{label}: {len(groups):,} groups, {seconds:.1f} s of CPU", flush=True)
    output.write_text(json.dumps(results), encoding="utf-8")


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
