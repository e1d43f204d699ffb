"""What an extraction did, or would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from featx.errors import AllImagesFailed
from featx.extraction.plan import Plan
from featx.images.sources import ImageFailure
from featx.objects.addresses import location_of
from featx.shown import Shown
from featx.units import format_count


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a plan.

    Attributes:
        rows: Rows in the store.
        done: Images that were computed.
        skipped: Images whose features were there already.
        reused: Images that got the features of an identical one.
        renamed: Keys of rows whose image now has another name.
        vanished: Keys of rows whose image is gone or has another name.
        failures: Images that cannot be used, by key.
        seconds: Where the time went; see `ExtractReport`.
        total_seconds: From the first image to the finished store; 0 where nothing was run.
        images_choosing: Images that were computed while engine and precision were chosen.
        run: What computed them; see `ExtractReport`.
    """

    rows: int
    done: int
    skipped: int
    reused: int
    renamed: frozenset[str]
    vanished: tuple[str, ...]
    failures: Mapping[str, ImageFailure]
    seconds: Mapping[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    images_choosing: int = 0
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        """Images computed per second once engine and precision were chosen; 0 if there were none.

        Converting a network and comparing engines takes the same time for ten images as for a
        million.
        """
        seconds = self.total_seconds - self.seconds.get("choose", 0.0)
        images = self.done - self.images_choosing
        return images / seconds if images > 0 and seconds > 0 else 0.0


def make_unchanged_outcome(plan: Plan) -> Outcome:
    """Return the outcome of a plan with nothing to do."""
    return Outcome(
        rows=len(plan.existing.base or ()),
        done=0,
        skipped=plan.changes.unchanged,
        reused=0,
        renamed=frozenset(),
        vanished=plan.changes.vanished,
        failures=plan.changes.failures,
        seconds=dict.fromkeys(("load", "read", "compute", "write"), 0.0),
    )


@dataclass(frozen=True, slots=True, repr=False)
class ExtractReport(Shown):
    """What an extraction did.

    Attributes:
        output: The store.
        rows: Rows in the store now; of a dry run the rows there would be, if no image failed but
            those that are known to.
        done: Images whose features were computed in this run; of a dry run, would be.
        skipped: Images whose features were there already.
        reused: Images identical to another one, whose features they got without computing.
        renamed: Rows that followed their image to a new name (among `reused`).
        removed: Rows removed because their image is gone (``prune``).
        missing: Rows kept although their image is gone.
        failed: Images that could not be used, in this run or, unchanged since, in an earlier one;
            in a dry run, those that are known to fail without decoding them.
        dry_run: Whether nothing was written.
        images_per_second: Images computed per second of this run, without the time in which the
            model was loaded and engine and precision were chosen, and the images computed in it; 0
            if there were no others.
        seconds: ``load`` (model), ``choose`` (where something was chosen: ``convert``, converting
            the network, or reading it from the cache, and compiling it, ``compare``, comparing
            engines, precisions and ways of decoding, and computing the first images, which
            ``compute`` holds too), ``read`` (waiting for images), ``compute``, ``write``.
        failures: The images that failed, with the reason.
        run: What computed them, as the store records it: ``engine``, ``precision``, and what was
            measured of both, such as ``lowest_cosine``; empty where nothing was computed.
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
    failures: tuple[ImageFailure, ...] = ()
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values; of a failure, its key and its reason."""
        failures = [{"key": one.key, "reason": one.reason} for one in self.failures]
        return asdict(replace(self, failures=())) | {"failures": failures}

    def require_images(self) -> None:
        """Refuse a run in which no image could be used.

        Raises:
            AllImagesFailed: Names the first one.
        """
        used = self.done + self.skipped + self.reused
        if self.failures and not used and not self.dry_run:
            first = self.failures[0]
            raise AllImagesFailed(
                f"None of the images could be used: {format_count(self.failed, 'image')} failed. "
                f"The first one: {first.key}: {first.reason.rstrip('.')}. The others are in the "
                f"report and in the store, {self.output!r}.",
                self,
            )


def make_report(plan: Plan, outcome: Outcome) -> ExtractReport:
    """Return the report of a plan and its outcome."""
    update = plan.request.update
    gone = sum(key not in outcome.renamed for key in outcome.vanished)
    return ExtractReport(
        output=location_of(plan.request.output),
        rows=outcome.rows,
        done=outcome.done,
        skipped=outcome.skipped,
        reused=outcome.reused,
        renamed=len(outcome.renamed),
        removed=gone if update.prune else 0,
        missing=0 if update.prune else gone,
        failed=len(outcome.failures),
        images_per_second=outcome.images_per_second,
        dry_run=update.dry_run,
        failures=tuple(outcome.failures.values()),
        seconds=dict(outcome.seconds),
        run=dict(outcome.run),
    )
