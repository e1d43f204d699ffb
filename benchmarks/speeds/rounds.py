"""Competitors in turn: each in a process of its own, round by round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.speeds.child import SKIPPED, Task
from benchmarks.speeds.machine import CoreTime
from benchmarks.speeds.networks import Network

ROOT = Path(__file__).parents[2]

PATIENCE = 1800
"""Seconds after which a competitor is given up."""


@dataclass(frozen=True, slots=True)
class Competitor:
    """Something that is measured.

    Attributes:
        title: What the table calls it.
        module: Its module in this package.
        pictures: How many pictures it gets.
        is_bound: Whether it is a limit and no competitor.
        one_core: Whether it gets one core only.
        network: The only network that it has.
        kind: The only kind of pictures that it gets.
    """

    title: str
    module: str
    pictures: Literal["all", "half", "fewer"] = "fewer"
    is_bound: bool = False
    one_core: bool = False
    network: str | None = None
    kind: str | None = None

    def takes(self, network: Network, kind: str) -> bool:
        """Whether it is measured with a network on a kind of pictures."""
        if self.module == "run_torch" and network.torchvision is None:
            return False
        return self.network in (None, network.name) and self.kind in (None, kind)


COMPETITORS = {
    "featx": Competitor("featx", "run_featx", "all"),
    "featx1": Competitor("featx, one core", "run_featx", "half", one_core=True, kind="224px"),
    "snippet": Competitor("model.predict per image", "run_snippet", network="VGG19"),
    "keras": Competitor("Keras predict, tf.data", "run_keras"),
    "torch": Competitor("PyTorch, DataLoader", "run_torch"),
    "engine": Competitor("engine alone", "run_engine", is_bound=True),
    "decoding": Competitor("decoding alone", "run_decoding", "all", is_bound=True),
    "matmul": Competitor("matrix product", "run_matmul", is_bound=True),
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one process measured.

    Attributes:
        amount: Pictures; of the matrix product, operations.
        seconds: What they took, loading excluded.
        peak: Most bytes of memory.
        wall: Seconds from its start to its end.
        others: Share of the cores' time that others took meanwhile.
        facts: What else it said.
    """

    amount: float
    seconds: float
    peak: int
    wall: float
    others: float
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Pictures, or operations, in a second."""
        return self.amount / self.seconds


@dataclass(slots=True)
class Cell:
    """All measurements of one network on one kind of pictures.

    Attributes:
        network: The network.
        pictures: Name of the kind of pictures.
        weights: ``random``, or the file.
        rounds: Of each competitor the measurements, one for each round.
        skipped: Of the others why there are none.
    """

    network: Network
    pictures: str
    weights: str = "random"
    rounds: dict[str, list[Measurement]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run_rounds(
    cell: Cell,
    competitors: list[str],
    folders: dict[str, Path],
    rounds: int,
    *,
    seconds: float,
    cores: int,
    torch_python: str,
    say: Callable[[str], None],
) -> None:
    """Measure competitors in turn, A B C A B C: what drifts then hits all alike.

    Args:
        cell: Gets the measurements.
        competitors: Names in `COMPETITORS`.
        folders: Pictures for each number of them.
        rounds: How often.
        seconds: How long limits are measured that take no pictures.
        cores: Cores of the machine.
        torch_python: A Python that has PyTorch.
        say: Is told how it goes.
    """
    for number in range(rounds):
        for name in competitors:
            competitor = COMPETITORS[name]
            if name in cell.skipped or not competitor.takes(cell.network, cell.pictures):
                continue
            python = torch_python if name == "torch" else sys.executable
            with tempfile.TemporaryDirectory(prefix="featx-speed-") as scratch:
                task = Task(
                    network=cell.network.name,
                    folder=str(folders[competitor.pictures]),
                    weights=cell.weights,
                    scratch=scratch,
                    seconds=seconds,
                    cores=1 if competitor.one_core else cores,
                )
                measured = measure(python, competitor.module, task)
            where = f"{cell.pictures} {cell.network.name} {number + 1}/{rounds} {competitor.title}"
            if isinstance(measured, str):
                cell.skipped[name] = measured
                cell.rounds.pop(name, None)
                say(f"{where}: not measured: {measured}")
                continue
            cell.rounds.setdefault(name, []).append(measured)
            unit, scale = ("GFLOP/s", 1e9) if name == "matmul" else ("images/s", 1)
            say(f"{where}: {measured.rate / scale:,.1f} {unit}, {measured.wall:.0f} s in all")


def measure(python: str, module: str, task: Task) -> Measurement | str:
    """Run one competitor; return what it measured, or why it could not."""
    command = [python, "-m", f"benchmarks.speeds.{module}", task.to_argument()]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    before, times = CoreTime.now(), os.times()
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except OSError as error:
        return f"{python}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"not done after {PATIENCE} s"
    wall = time.perf_counter() - began
    after = os.times()
    own = after.children_user + after.children_system - times.children_user - times.children_system
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode == SKIPPED:
        return last
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return Measurement(
        **json.loads(last), wall=wall, others=CoreTime.now().others_since(before, own)
    )
