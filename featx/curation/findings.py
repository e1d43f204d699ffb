"""What an audit finds, and the kinds of findings there are.

A kind looks at the rows of a store and returns what it finds, each with a score. What several kinds
need (cross-validated predictions, neighbours, copies) is computed once, by `AuditRows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from featx.registry import Registry
from featx.shown import Shown

if TYPE_CHECKING:
    from featx.curation.audit_rows import AuditRows


@dataclass(frozen=True, slots=True, repr=False)
class Finding(Shown):
    """Something that a person should look at.

    Attributes:
        kind: Its kind, by name.
        key: The picture; None if it is about classes, splits or the whole store.
        score: How much it stands out among those of its kind, in [0, 1].
        given: The label or split that is given.
        suggested: The label that is suggested instead.
        other: Another picture, class, split or store that it is about.
        detail: What was measured, in words.
        path: Where the picture is.
    """

    kind: str
    key: str | None
    score: float
    given: str | None = None
    suggested: str | None = None
    other: str | None = None
    detail: str = ""
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


class FindingKind(Protocol):
    """A kind of finding.

    The contract tests in `featx.testing.contracts.findings` say what must hold.

    Attributes:
        title: A heading for its findings.
        advice: What a person may do about them, in a sentence.
    """

    title: str
    advice: str

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return why it cannot be looked for in these rows; None if it can."""
        ...

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return what is found, in any order; called only where nothing is against it."""
        ...


FINDINGS: Registry[FindingKind] = Registry(
    "kind of finding",
    "featx.findings",
    {
        "label": "featx.curation.kinds.label:label",
        "duplicate": "featx.curation.kinds.duplicate:duplicate",
        "outlier": "featx.curation.kinds.outlier:outlier",
        "overlap": "featx.curation.kinds.overlap:overlap",
        "small_class": "featx.curation.kinds.small_class:small_class",
        "split": "featx.curation.kinds.split:split",
        "drift": "featx.curation.kinds.drift:drift",
        "picture": "featx.curation.kinds.picture:picture",
    },
    FindingKind,
)
