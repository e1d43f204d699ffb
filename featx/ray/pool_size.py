"""How many workers a pool on Ray has, and what each takes of its node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featx.errors import ClusterError
from featx.options import UpdateOptions
from featx.wording import option


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many workers a pool has, and what of a node each of them takes.

    Attributes:
        count: Workers.
        num_cpus: Cores of each.
        num_gpus: GPUs of each; may be a fraction.
        cpu_workers: Further workers without GPUs.
    """

    count: int
    num_cpus: float
    num_gpus: float
    cpu_workers: int = 0

    @property
    def total(self) -> int:
        """All workers."""
        return self.count + self.cpu_workers

    @property
    def threads(self) -> int:
        """Cores that a worker computes on."""
        return max(1, math.ceil(self.num_cpus))


def choose_size(nodes: Sequence[Mapping[str, float]], options: UpdateOptions) -> PoolSize:
    """Return the size of a pool: what was asked for, else one worker on each node, with its cores.

    Where nodes differ, a worker takes what the smallest has, and the larger ones have several.

    Args:
        nodes: What each node has, as Ray names it: ``CPU``, ``GPU``.
        options: What was asked for.

    Raises:
        ClusterError: If no node has what a worker takes.

    Example:
        >>> choose_size([{"CPU": 4.0}, {"CPU": 8.0}], UpdateOptions(cluster="auto"))
        PoolSize(count=3, num_cpus=4.0, num_gpus=0.0, cpu_workers=0)
        >>> choose_size([{"CPU": 8.0, "GPU": 1.0}], UpdateOptions(num_cpus=2, num_gpus=0.5)).count
        2
    """
    cores = [node["CPU"] for node in nodes if node.get("CPU", 0) > 0]
    num_cpus = options.num_cpus or min(cores, default=1.0)
    num_gpus = options.num_gpus or 0.0
    room = sum(_count_places(node, num_cpus, num_gpus) for node in nodes)
    if not room:
        raise ClusterError(
            f"No node of the cluster has {format_share(num_cpus, 'CPU')}"
            + (f" and {format_share(num_gpus, 'GPU')}" if num_gpus else "")
            + f" for a worker. Ask for less with {option('num_cpus')}"
            + (f" or {option('num_gpus')}." if num_gpus else ".")
        )
    return PoolSize(options.concurrency or room, num_cpus, num_gpus, options.cpu_workers or 0)


def format_share(amount: float, what: str) -> str:
    """Return what a worker takes of a node, for a message.

    Example:
        >>> format_share(1.0, "GPU"), format_share(0.5, "GPU")
        ('1 GPU', '0.5 GPUs')
    """
    return f"{amount:g} {what}{'s' * (amount != 1)}"


def _count_places(node: Mapping[str, float], num_cpus: float, num_gpus: float) -> int:
    places = node.get("CPU", 0.0) / num_cpus
    if num_gpus:
        places = min(places, node.get("GPU", 0.0) / num_gpus)
    return int(places + 1e-9)
