"""What is in a folder of photos: copies, doubtful labels, a map, a subset worth keeping.

    python examples/09_curate_photos.py PHOTOS --output photos.h5

Only the first step runs the network. No picture is changed or deleted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="builtin:mini")
    parser.add_argument("--output", type=Path, default=Path("photos.h5"))
    arguments = parser.parse_args()
    store: Path = arguments.output

    # 1. The features, once.
    report = featx.extract(arguments.images, model=arguments.model, output=store)
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 2. Copies: the best of each group stays.
    for group in featx.find_duplicates(store):
        others = [one.key for one in group.pictures if one.can_go]
        print(f"{group.best}: copies that can go: {', '.join(others) or 'none'}")

    # 3. Labels, outliers, overlapping classes.
    found = featx.audit(store)
    for finding in found.findings[:5]:
        print(f"{finding.kind}: {finding.key or finding.given} ({finding.detail})")

    # 4. A map to explore in a browser.
    featx.map_features(store, method="pca").write(store.with_name("map.html"))

    # 5. A tenth of the photos that shows what there is.
    chosen = featx.select(store, diverse=max(1, found.num_images // 10))
    chosen.write(store.with_name("chosen.csv"))
    print(f"{len(chosen)} of {found.num_images} chosen")

    # 6. A head on the labels, once a person has looked at those that are suggested.
    labels = store.with_name("labels.csv")
    found.write_labels(labels)
    fitted = featx.fit_head(store, labels=labels, output=store.with_name("curated"))
    if fitted.evaluation is not None:
        print(f"accuracy {fitted.evaluation.accuracy:.3f} on {fitted.evaluation.num_examples}")


if __name__ == "__main__":
    main()
