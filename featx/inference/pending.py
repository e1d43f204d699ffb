"""A known precision that computes while it is checked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from featx.engines.engines import ENGINES
from featx.engines.graph import NotConvertible
from featx.inference.agreement import describe_agreement
from featx.inference.announcing import announce_choice
from featx.inference.candidates import refuse_known
from featx.inference.choosing import choose_network
from featx.inference.forms import LostNetwork
from featx.inference.request import EngineRequest
from featx.inference.trial import Choice, Trial


class PendingCheck:
    """The check of a choice, under way in a thread of its own.

    Args:
        trial: What the choice computes.
        request: Which engine and precision were asked for.
        choice: The choice, with a check.
    """

    def __init__(self, trial: Trial, request: EngineRequest, choice: Choice) -> None:
        assert choice.check is not None
        self.trial = trial
        self._request = request
        self._choice = choice
        pool = ThreadPoolExecutor(1, "featx-check")
        self._agreement = pool.submit(choice.check)
        pool.shutdown(wait=False)

    @property
    def is_done(self) -> bool:
        """Whether nobody has to wait for it."""
        return self._agreement.done()

    def wait(self) -> None:
        """Wait until it is done."""
        wait([self._agreement])

    def settle(self) -> Choice:
        """Say what came of it.

        Returns:
            The choice, where it suits the images; else what computes them from now on.
        """
        trial = replace(self.trial, is_checked_later=False)
        try:
            agreement = self._agreement.result()
        except (LostNetwork, NotConvertible):
            return choose_network(trial, self._request)
        facts = describe_agreement(agreement, self._choice.facts["precision"])
        if agreement.is_enough:
            choice = replace(self._choice, facts=self._choice.facts | facts, check=None)
            announce_choice(trial, choice.facts)
            return choice
        refuse_known(ENGINES[self._choice.engine], trial, facts)
        exact = choose_network(trial, replace(self._request, precision="float32"))
        return replace(exact, facts=exact.facts | facts)
