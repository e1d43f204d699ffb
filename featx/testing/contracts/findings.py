"""The contract of a kind of finding; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.collection import Collection
from featx.curation.findings import FINDINGS, Finding
from featx.images.roots import MEMORY

SIZES = (1, 2, 40)


def make_rows(count: int, *, classes: int = 3, seed: int = 0) -> AuditRows:
    """Return labelled rows around a centre for each class, with splits and an older set.

    Example:
        >>> len(make_rows(40)), make_rows(40).classes
        (40, ('class 0', 'class 1', 'class 2'))
    """
    random = np.random.default_rng(seed)
    targets = np.arange(count) % max(1, classes)
    centres = np.random.default_rng(9).normal(size=(max(1, classes), 16))
    values = centres[targets] + 0.4 * random.normal(size=(count, 16))
    labels = tuple(f"class {target}" if classes else None for target in targets)
    collection = Collection(
        layer="layer",
        roots=(MEMORY,),
        source=np.zeros(count, np.int64),
        keys=tuple(f"{number}.png" for number in range(count)),
        labels=labels,
        splits=tuple(("train", "test")[number % 5 == 0] for number in range(count)),
        content_hash=random.integers(0, 256, (count, 16)).astype(np.uint8),
        file_size=np.ones(count, np.int64),
        values=values.astype(np.float32),
    )
    hashes = random.integers(0, 256, (count, 16)).astype(np.uint8)
    old = replace(collection, content_hash=hashes)
    return AuditRows(collection, old, reads_pictures=True)


class FindingContract:
    """Tests that take the name of a kind of finding.

    Example::

        @pytest.mark.parametrize("kind", ["label"])
        class TestFindings(FindingContract):
            pass
    """

    def test_it_says_what_it_is(self, kind: str) -> None:
        """A heading, and what a person may do."""
        assert FINDINGS[kind].title
        assert FINDINGS[kind].advice.endswith(".")

    def test_findings_are_about_the_rows(self, kind: str) -> None:
        """Keys are those of rows, scores are in [0, 1], and the kind is its name."""
        for rows in (make_rows(40), make_rows(40, classes=40), _with_wrong_labels()):
            for finding in _find(kind, rows):
                assert finding.kind == kind
                assert finding.key is None or finding.key in rows.collection.keys
                assert 0 <= finding.score <= 1
                assert finding.suggested is None or finding.suggested in rows.classes

    def test_any_number_of_rows_and_classes(self, kind: str) -> None:
        """One or two rows, and rows without labels, are no error."""
        for count in SIZES:
            for classes in (0, 1, 3):
                assert isinstance(_find(kind, make_rows(count, classes=classes)), list)

    def test_equal_vectors_are_no_error(self, kind: str) -> None:
        """Rows that are all equal are only copies of each other."""
        rows = make_rows(40)
        equal = replace(rows.collection, values=np.ones((40, 16), np.float32))
        assert isinstance(_find(kind, AuditRows(equal)), list)

    def test_the_same_rows_give_the_same_findings(self, kind: str) -> None:
        """What is random is decided by the seed."""
        first, second = (_find(kind, _with_wrong_labels()) for _ in range(2))
        assert [one.to_dict() for one in first] == [one.to_dict() for one in second]


def _with_wrong_labels() -> AuditRows:
    rows = make_rows(60)
    labels = list(rows.collection.labels)
    labels[0], labels[1] = labels[1], labels[0]
    return replace(rows, collection=replace(rows.collection, labels=tuple(labels)))


def _find(kind: str, rows: AuditRows) -> list[Finding]:
    reason = FINDINGS[kind].unsuited(rows)
    return list(FINDINGS[kind].find(rows)) if reason is None else []
