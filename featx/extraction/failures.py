"""Images that cannot be used, counted while a plan is carried out."""

from __future__ import annotations

from collections.abc import Iterable

from featx.events import Listener
from featx.extraction.plan import Plan, check_failures
from featx.images.sources import ImageFailure


class FailureCount:
    """The images that cannot be used: those known before, and those that come.

    Args:
        plan: The plan, with the limit.
        listener: Hears of each that comes.

    Attributes:
        by_key: All of them.
    """

    def __init__(self, plan: Plan, listener: Listener) -> None:
        self.by_key: dict[str, ImageFailure] = dict(plan.changes.failures)
        self._plan = plan
        self._listener = listener

    def add(self, *failures: ImageFailure) -> None:
        """Count failures.

        Raises:
            TooManyFailures: If they are more than the request allows.
        """
        for failure in failures:
            self.by_key[failure.key] = failure
            self._listener.failure(self._plan.found.root.shown(failure.key), failure.reason)
            check_failures(self.by_key, self._plan.request.update.failure_limit)

    def sort(self, keys: Iterable[str]) -> None:
        """Bring them into the order of keys; others come first."""
        last = [key for key in keys if key in self.by_key]
        for key in last:
            self.by_key[key] = self.by_key.pop(key)
