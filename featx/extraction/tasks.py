"""Tasks of an extraction that is divided among workers: what one of them gets, does and returns."""

from __future__ import annotations

import hashlib
import math
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from featx.errors import StoreError
from featx.extraction.carried_columns import CarriedColumns
from featx.extraction.row_writing import Computation, RowWriter, take_rows
from featx.extraction.stored import StoredImages
from featx.features.computing import Stopwatch
from featx.images.sources import ImageFailure, ImageItem
from featx.images.sources.detaching import detach
from featx.inference.decided import DecidedNetwork
from featx.options import RunOptions
from featx.store.parts import PartWriter
from featx.store.rows import StoreHeader
from featx.store.shared_work import Workplace


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of an extraction share. It was decided once, for all workers.

    Attributes:
        network: The model, and what computes it.
        header: The header of the store.
        facts: What is recorded of the run.
        options: How images are read and the network is run.
        known: Content hashes that have features.
        work: Where tasks are done.
    """

    network: DecidedNetwork
    header: StoreHeader
    facts: Mapping[str, Any]
    options: RunOptions
    known: frozenset[bytes]
    work: Workplace


@dataclass(frozen=True, slots=True)
class Task:
    """Some images of a job.

    Attributes:
        name: Derived from what the task is made of: the same images of the same job have the same.
        items: The images.
        stored: What is stored of them, and of images that are gone, if that has columns.
        vanished: Keys of the latter.
    """

    name: str
    items: Sequence[ImageItem]
    stored: StoredImages
    vanished: Sequence[str] = ()


def make_task(
    items: Sequence[ImageItem], header: StoreHeader, stored: StoredImages, vanished: Sequence[str]
) -> Task:
    """Return the task that some images make.

    Args:
        items: The images.
        header: The header of the store.
        stored: What is stored of all images.
        vanished: Keys whose image is gone.
    """
    digest = hashlib.blake2b(header.fingerprint.encode(), digest_size=16)
    for item in items:
        digest.update(repr((item.key, item.size, item.mtime_ns)).encode(errors="surrogatepass"))
    gone = tuple(vanished) if stored.columns else ()
    known = stored.select([*(item.key for item in items), *gone])
    return Task(digest.hexdigest(), detach(items), known, gone)


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What a worker did; all that comes back of a task.

    Attributes:
        name: The task's name.
        done: Images that were computed.
        touched: Images whose time stamp or label is new, not their content.
        reused: Images that got the features of an identical one.
        failures: Images that cannot be used.
        seconds: Where the time went.
        total_seconds: How long it took.
    """

    name: str
    done: int
    touched: int
    reused: int
    failures: tuple[ImageFailure, ...]
    seconds: Mapping[str, float]
    total_seconds: float

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Return a record from what `dataclasses.asdict` made of it."""
        failures = tuple(ImageFailure(**failure) for failure in fields["failures"])
        return cls(**{**fields, "failures": failures})

    @property
    def num_images(self) -> int:
        """How many images the task had."""
        return self.done + self.touched + self.reused + len(self.failures)


class TaskWorker:
    """Does tasks of a job; has the model in memory from the beginning.

    Tasks may be given in several threads. One is computed at a time, and while its rows are
    written, the next one.

    Args:
        job: What all tasks share.

    Raises:
        StoreError: If this machine does not reach the store, or does not find the images.
        FingerprintMismatch: If it finds another model than was found where the job began.
        FeatxError: If the model cannot be loaded, as `featx.load_model`.
    """

    def __init__(self, job: Job) -> None:
        job.work.check()
        _check_images(job)
        self._job = job
        self._known = set(job.known)
        self._backbone = job.network.open()
        self._computing = threading.Lock()

    def do(self, task: Task) -> TaskRecord:
        """Do a task, unless it was done.

        Raises:
            StoreError: If the parts cannot be written.
        """
        record = self._job.work.do_once(task.name, lambda folder: asdict(self._do(task, folder)))
        return TaskRecord.parse(record)

    def _do(self, task: Task, folder: Path) -> TaskRecord:
        job = self._job
        failures: list[ImageFailure] = []
        with self._computing:
            watch = Stopwatch()  # Not before: waiting is no work.
            rows = RowWriter(
                PartWriter(folder, job.header, max_seconds=math.inf, run_facts=lambda: job.facts),
                task.stored,
                CarriedColumns(task.stored, task.vanished),
                set(self._known),
                failures.append,
            )
            computation = Computation(self._backbone, job.header, job.options)
            take_rows(task.items, computation, rows, watch)
        with watch.timing("write"):
            rows.commit()
        return TaskRecord(
            name=task.name,
            done=rows.done,
            touched=rows.touched,
            reused=rows.reused,
            failures=tuple(failures),
            seconds=watch.seconds,
            total_seconds=watch.total,
        )


def _check_images(job: Job) -> None:
    """Refuse to work where the images are not."""
    root = job.header.root
    if root.is_on_disk and not root.exists():
        raise StoreError(
            f"{str(root)!r} is not there on {socket.gethostname()}. The images must be in a folder "
            "that all machines of the cluster have, under the same path."
        )
