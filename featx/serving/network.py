"""Pictures of several clients in one pass of the network: a queue, and one thread that computes."""

from __future__ import annotations

import io
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from featx.events import Listener
from featx.features.batch_queue import ComputedBatch
from featx.features.computing import compute_features
from featx.features.embedding import accelerate, load_network
from featx.features.query_images import QueryImages
from featx.images.cropping import Crop, crop_images
from featx.images.reading import DecodedImage, KnownImage, ReadResult, read_image
from featx.images.sources import ImageFailure, gather
from featx.models.backbone import Backbone
from featx.models.reference import locate_again
from featx.serving.snapshot import NetworkPlan

MOST_PICTURES = 64
"""In one pass: more would let the first client wait for the last."""

GATHER_SECONDS = 0.03
"""How long a pass waits for pictures that are being decoded. Without, it begins with two or three
of those of 64 clients, and takes half as long again for each as with twenty."""

MOST_NETWORKS = 3
"""In memory: that of searches, that of predictions, and one that is about to replace them."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that a client sent.

    Attributes:
        name: What the client calls it.
        data: Its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ComputedPicture:
    """Features of a picture.

    Attributes:
        name: As in `Upload`.
        content_hash: uint8 (16,), of its bytes.
        features: Name of a feature → float32 (D,).
    """

    name: str
    content_hash: np.ndarray
    features: dict[str, np.ndarray]


Results = list[ComputedPicture | ImageFailure]


@dataclass(slots=True)
class Job:
    """Pictures of one client, decoded.

    Attributes:
        plan: What is computed.
        names: What the client calls them.
        images: Pixels or failures, in the same order.
        deadline: When the client is told that it took too long, as `time.monotonic` counts.
        done: Gets the results, in the same order.
    """

    plan: NetworkPlan
    names: list[str]
    images: list[ReadResult]
    deadline: float
    done: Future[Results] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Warming:
    """A network that is to be loaded before somebody waits for it.

    Attributes:
        plan: What it computes.
        done: Ends when it is loaded, or cannot be.
    """

    plan: NetworkPlan
    done: Future[None] = field(default_factory=Future)


class PictureNetwork:
    """Computes features of pictures, those of several clients at a time.

    Args:
        query: How pictures are read and the network is run; it has no images.
        listener: Is told which engine was chosen.
        observe: Is given the number of pictures of each pass, and its seconds.
        model: Where the model is now, if it has moved.
    """

    def __init__(
        self,
        query: QueryImages,
        listener: Listener,
        observe: Callable[[int, float], None],
        model: str | None = None,
    ) -> None:
        self._query, self._listener, self._observe = query, listener, observe
        self._model = model
        self._coming = 0
        self._coming_lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Job | Warming | None] = queue.SimpleQueue()
        self._networks: dict[str, Backbone] = {}
        self._thread = threading.Thread(target=self._work, name="featx-serve-network", daemon=True)
        self._thread.start()

    def prepare(self, plan: NetworkPlan) -> Future[None]:
        """Load a network soon, before somebody waits for it; return what says that it is loaded."""
        warming = Warming(plan)
        self._jobs.put(warming)
        return warming.done

    def read(self, plan: NetworkPlan, pictures: Sequence[Upload], crop: Crop | None) -> Job:
        """Decode pictures as the network takes them; slow, and safe in any thread.

        Args:
            plan: What will be computed.
            pictures: The pictures.
            crop: Only this part of each.
        """
        named = [(f"{number:06d}", picture.data) for number, picture in enumerate(pictures)]
        found = gather(named, in_order=True)
        if crop is not None:
            found = crop_images(found, crop, self._query.run.max_pixels)
        items = found.items if found.stream is None else found.stream
        most = self._query.run.max_pixels
        images = [read_image(item, plan.model.input, max_pixels=most) for item in items]
        read = {_key_of(one): one for one in (*images, *found.failures)}
        names = [picture.name for picture in pictures]
        return Job(plan, names, [read[key] for key, _ in named], 0.0)

    @contextmanager
    def expecting(self, count: int) -> Iterator[None]:
        """Say that so many pictures will be submitted soon, or not at all."""
        with self._coming_lock:
            self._coming += count
        try:
            yield
        finally:
            with self._coming_lock:
                self._coming -= count

    def submit(self, job: Job, deadline: float) -> Future[Results]:
        """Put a job into the queue."""
        job.deadline = deadline
        self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Compute what was taken, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        left: Job | None = None
        while True:
            first = left or self._jobs.get()
            left = None
            if first is None:
                return
            if isinstance(first, Warming):
                self._warm(first)
                continue
            jobs, count = [first], len(first.images)
            ends = False
            until = time.monotonic() + GATHER_SECONDS
            while count < MOST_PICTURES:
                left_seconds = until - time.monotonic() if self._coming else 0.0
                try:
                    more = self._jobs.get(timeout=max(0.0, left_seconds))
                except queue.Empty:
                    break
                if more is None:
                    ends = True
                    break
                if isinstance(more, Warming):
                    self._warm(more)
                    continue
                if more.plan != first.plan:
                    left = more
                    break
                jobs.append(more)
                count += len(more.images)
            self._run(jobs)
            if ends:
                return

    def _run(self, jobs: Sequence[Job]) -> None:
        """Compute jobs of one plan in one pass."""
        wanted = [job for job in jobs if job.done.set_running_or_notify_cancel()]
        now = time.monotonic()
        for job in wanted:
            if job.deadline < now:
                job.done.set_exception(TimeoutError("nobody waits for it any more"))
        wanted = [job for job in wanted if not job.done.done()]
        if not wanted:
            return
        try:
            backbone = self._load(wanted[0].plan)
            found = self._compute(wanted, backbone)
            for number, job in enumerate(wanted):
                job.done.set_result(_collect(job, number, found))
        except BaseException as error:
            for job in wanted:
                if not job.done.done():
                    job.done.set_exception(error)

    def _compute(
        self, jobs: Sequence[Job], backbone: Backbone
    ) -> dict[str, ComputedPicture | ImageFailure]:
        began, count = time.monotonic(), 0
        found: dict[str, ComputedPicture | ImageFailure] = {}
        for result in self._pass(_number_images(jobs), jobs[0].plan, backbone):
            if isinstance(result, ComputedBatch):
                count += len(result.items)
                for row, item in enumerate(result.items):
                    vectors = {name: rows[row].ravel() for name, rows in result.features.items()}
                    found[item.key] = ComputedPicture("", result.content_hash[row], vectors)
            elif isinstance(result, ImageFailure):
                found[result.key] = result
        self._observe(count, time.monotonic() - began)
        return found

    def _pass(
        self, images: Iterable[ReadResult], plan: NetworkPlan, backbone: Backbone
    ) -> Iterator[ComputedBatch | KnownImage | ImageFailure]:
        size = self._query.run.batch_size
        return compute_features(images, backbone, plan.features, batch_size=size)

    def _warm(self, warming: Warming) -> None:
        """Load a network and show it a picture: much is imported and made only then."""
        plan, file = warming.plan, io.BytesIO()
        Image.new("RGB", (64, 64)).save(file, "JPEG")
        try:
            images = self.read(plan, [Upload("", file.getvalue())], None).images
            deque(self._pass(images, plan, self._load(plan)), maxlen=0)
        except Exception as error:  # Who sends a picture is told; others are served further.
            self._listener.note(f"pictures cannot be computed: {error}")
        finally:
            warming.done.set_result(None)

    def _load(self, plan: NetworkPlan) -> Backbone:
        key = plan.model.fingerprint + ",".join(one.name for one in plan.features)
        if key not in self._networks:
            moved = None if self._model is None else locate_again(self._model, plan.model)
            query = replace(self._query, weights=self._query.weights or moved)
            while len(self._networks) >= MOST_NETWORKS:
                del self._networks[next(iter(self._networks))]
            network = load_network(query, plan.model, plan.features[0])
            self._networks[key] = accelerate(network, self._query.run, self._listener)
        return self._networks[key]


def _key_of(image: ReadResult) -> str:
    return image.key if isinstance(image, ImageFailure) else image.item.key


def _number_images(jobs: Sequence[Job]) -> Iterator[ReadResult]:
    """Yield the images of all jobs under keys that tell the jobs apart."""
    for number, job in enumerate(jobs):
        for image in job.images:
            if isinstance(image, ImageFailure):
                yield replace(image, key=f"{number}:{image.key}")
            elif isinstance(image, DecodedImage):
                yield replace(image, item=replace(image.item, key=f"{number}:{image.item.key}"))


def _collect(job: Job, number: int, found: dict[str, ComputedPicture | ImageFailure]) -> Results:
    """Return the results of one job, in its order and by its names."""
    results: Results = []
    for name, image in zip(job.names, job.images, strict=True):
        result = found[f"{number}:{_key_of(image)}"]
        if isinstance(result, ImageFailure):
            results.append(replace(result, key=name))
        else:
            results.append(replace(result, name=name))
    return results
