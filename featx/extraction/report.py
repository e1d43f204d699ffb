"""What an extraction did, or would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What an extraction did.

    Attributes:
        output: The store.
        rows: Rows in the store now; of a dry run the rows there would be, if no image failed but
            those of which that is known.
        done: Images whose features were computed in this run; of a dry run, would be.
        skipped: Images whose features were there already.
        reused: Images identical to another one, whose features they got without computing.
        renamed: Rows that followed their image to a new name (among `reused`).
        removed: Rows removed because their image is gone (``prune``).
        missing: Rows kept although their image is gone.
        failed: Images that could not be used, in this run or, unchanged since, in an earlier; of a
            dry run those of which that is known without decoding them.
        dry_run: Whether nothing was written.
        images_per_second: Images computed per second of this run, model loading excluded.
        seconds: ``load`` (model), ``read`` (waiting for images), ``compute``, ``write``.
    """

    output: str
    rows: int
    done: int
    skipped: int
    reused: int
    renamed: int
    removed: int
    missing: int
    failed: int
    images_per_second: float = 0.0
    dry_run: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)
