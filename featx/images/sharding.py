"""Dividing images among machines, the same way on each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from featx.errors import InvalidValue, join_names
from featx.images.sources import ImageSet
from featx.wording import option

AUTO = "auto"
"""The shard that the environment names."""

Shard = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ArraySystem:
    """What runs a job as an array of tasks, and the variables in which it says which task this is.

    Attributes:
        name: Its name.
        index: The variable with the number of the task.
        first: The number of the first task; None if a variable says it.
        count: The variable with the number of tasks; None if there is none.
    """

    name: str
    index: str
    first: int | None
    count: str | None


SLURM = ArraySystem("SLURM", "SLURM_ARRAY_TASK_ID", None, "SLURM_ARRAY_TASK_COUNT")
SLURM_FIRST = "SLURM_ARRAY_TASK_MIN"
SYSTEMS = (
    SLURM,
    ArraySystem("Kubernetes", "JOB_COMPLETION_INDEX", 0, None),
    ArraySystem("Cloud Run", "CLOUD_RUN_TASK_INDEX", 0, "CLOUD_RUN_TASK_COUNT"),
)
"""https://slurm.schedmd.com/job_array.html,
https://kubernetes.io/docs/tasks/job/indexed-parallel-processing-static,
https://cloud.google.com/run/docs/container-contract."""


def parse_shard(text: str) -> Shard | str:
    """Read ``i/n``, the i-th of n shards, counted from 1; ``auto`` and ``auto/n`` stay.

    Raises:
        InvalidValue: If the text is something else.

    Example:
        >>> parse_shard("2/4"), parse_shard("auto/4")
        ((2, 4), 'auto/4')
    """
    number, slash, count = text.partition("/")
    if number == AUTO and (not slash or _is_number(count)):
        return text
    if _is_number(number) and _is_number(count) and int(number) <= int(count):
        return int(number), int(count)
    raise InvalidValue(
        f"A shard is i/n, the i-th of n, counted from 1: {option('shard', '1/4')} to 4/4; or "
        f"auto, or auto/n, of a job array. Received: {text!r}."
    )


def find_shard(text: str, environment: Mapping[str, str]) -> tuple[Shard, str]:
    """Return the shard that the environment names, and what was read there.

    Args:
        text: ``auto``, or ``auto/n`` where the number of shards is n.
        environment: The variables.

    Raises:
        InvalidValue: If they name none, or contradict each other.

    Example:
        >>> find_shard("auto/8", {"JOB_COMPLETION_INDEX": "0"})
        ((1, 8), 'JOB_COMPLETION_INDEX=0')
    """
    found = [system for system in SYSTEMS if environment.get(system.index)]
    if not found:
        names = join_names([f"{each.index} ({each.name})" for each in SYSTEMS])
        raise InvalidValue(
            f"{option('shard', text)} reads the task of a job array, and none is in the "
            f"environment; expected: {names}. Otherwise say {option('shard', '1/4')} to 4/4."
        )
    if len(found) > 1:
        names = join_names([each.index for each in found], conjunction="and")
        raise InvalidValue(
            f"{names} are both in the environment, and may mean different shards. Unset one of "
            f"them, or say which shard with {option('shard', '1/4')}."
        )
    system = found[0]
    stated = _read_number(environment, system.index)
    given = text.partition("/")[2]
    if given:
        return _number_of_many(system, stated, int(given), environment)
    if system.count is None:
        raise InvalidValue(
            f"{system.name} says which task this is ({system.index}={stated}), not of how many: "
            f"say {option('shard', f'{AUTO}/8')} if there are 8."
        )
    return _number_of_all(system, stated, environment)


def _number_of_many(
    system: ArraySystem, stated: int, count: int, environment: Mapping[str, str]
) -> tuple[Shard, str]:
    """Return the shard of a task of which the total is known: some may be repeated alone."""
    first = system.first
    if first is None:  # Those that are repeated do not begin with the first.
        first = 0 if environment.get(SLURM_FIRST) == "0" else 1
    shard = stated - first + 1, count
    read = f"{system.index}={stated}"
    if not 1 <= shard[0] <= count:
        raise InvalidValue(
            f"{read} is no task of {count}: they are numbered from {first} to "
            f"{first + count - 1}. Correct the array, or {option('shard', f'{AUTO}/{count}')}."
        )
    return shard, read


def _number_of_all(
    system: ArraySystem, stated: int, environment: Mapping[str, str]
) -> tuple[Shard, str]:
    """Return the shard of a task of an array that is complete."""
    assert system.count is not None
    count = _read_number(environment, system.count)
    read = f"{system.index}={stated}, {system.count}={count}"
    first = system.first
    if first is None:
        first = _read_number(environment, SLURM_FIRST)
        read += f", {SLURM_FIRST}={first}"
        if first > 1:
            raise InvalidValue(
                f"The array begins with {first} ({read}), so it may repeat tasks of a larger one. "
                f"Say how many shards there are: {option('shard', f'{AUTO}/8')}."
            )
    shard = stated - first + 1, count
    if not 1 <= shard[0] <= count:
        raise InvalidValue(
            f"{read} contradict each other: {count} tasks are numbered from {first} to "
            f"{first + count - 1}. Number them without gaps, or say how many shards there are: "
            f"{option('shard', f'{AUTO}/8')}."
        )
    return shard, read


def _read_number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not (text.isascii() and text.isdigit()):
        received = f"{name}={text!r}" if name in environment else f"no {name}"
        raise InvalidValue(
            f"The environment is to say a whole number in {name}. Received: {received}. Say which "
            f"shard with {option('shard', '1/4')}."
        )
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) >= 1


def shard_of(key: str, count: int) -> int:
    """Return the shard, from 1, that an image belongs to.

    By a hash of its key (BLAKE2b), so that machines need not agree on anything else, and an
    image stays in its shard when others come and go.

    Example:
        >>> [shard_of(f"{number}.jpg", 2) for number in range(6)]
        [1, 2, 1, 1, 1, 1]
    """
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1


def select_shard(found: ImageSet, number: int, count: int) -> ImageSet:
    """Return the images of one shard; what could not be listed belongs to every shard."""
    items = tuple(item for item in found.items if shard_of(item.key, count) == number)
    stream = found.stream
    if stream is not None:
        stream = (item for item in stream if shard_of(item.key, count) == number)
    # Images of other shards are not gone, even where a source knows what is.
    left_out = found.left_out.union(item.key for item in found.items).difference(
        item.key for item in items
    )
    return replace(found, items=items, stream=stream, left_out=left_out)
