"""Load on `featx serve`: clients that search with pictures, and how long first answers take.

::

    python -m benchmarks.serve
    python -m benchmarks.serve --rows 1000000 --clients 1 8 64 --seconds 60

Stores of features around random centres, of the width of the built-in network, are written once
into the folder (`--folder`) and used again; only their first rows are those of pictures. The server
is a process of its own, as people start it. Each question is asked of a server that has just
printed its address, and once more a moment later.

Clients are threads of this process, on the same cores, so that what they take is taken from the
server. Each client sends a picture, waits for its matches, and sends the next. The rate is compared
with that at which the same pictures go through the network in one call. At the end the server gets
SIGTERM while clients are sending: a request is lost if it was sent over a connection that the
server had accepted, and was not answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlsplit

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import featx
from featx.files import HASH_BYTES
from featx.store import open_store
from featx.store.columns import ColumnFormat
from featx.store.rows import Announced, Rows, StoreHeader
from featx.store.writing import write_store
from featx.user_cache import CACHE_VARIABLE

PICTURES, SIDE, BLOCK, CLASSES, CLUSTERS = 256, 256, 20_000, 20, 2_000


@dataclass
class Load:
    """What clients saw.

    Attributes:
        seconds: Of each answer.
        statuses: Of all answers.
        lost: Requests without an answer.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    lost: int = 0


class Served:
    """A server in a process of its own."""

    def __init__(self, store: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        command = [sys.executable, "-m", "featx", "serve", str(store), "--no-browser", "--port=0"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | environment,
        )
        assert self.process.stdout is not None
        address = self.process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"The server did not begin: {' '.join(command)}")
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port
        self.start_seconds = time.perf_counter() - began

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection."""
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """Return the body of an answer."""
        connection = self.connect()
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, data
        return data

    def end(self) -> None:
        """Send SIGTERM, and wait until it has ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    @property
    def memory(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0


def write_pictures(folder: Path) -> list[bytes]:
    """Write pictures of noise with structure, and return their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        path = folder / f"{number:04d}.jpg"
        if not path.exists():
            small = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(small).resize((SIDE, SIDE)).save(path, quality=90)
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def write_large(path: Path, template: Path, rows: int) -> None:
    """Write a store of the rows of another one, and as many random ones as are missing."""
    with open_store(template) as store:
        header: StoreHeader = replace(store.header, single_file_limit=1 << 42)
        layer, shape = store.layers[-1], store.header.features[-1].shape
        hashed, features = store.content_hash, store[layer][:]
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((CLUSTERS, *shape), np.float32)

    def blocks() -> Iterator[Rows]:
        for start in range(0, rows, BLOCK):
            numbers = range(start, min(start + BLOCK, rows))
            hashes = b"".join(number.to_bytes(HASH_BYTES, "little") for number in numbers)
            content = np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES).copy()
            vectors = near(len(numbers))
            if not start:
                content[:PICTURES], vectors[:PICTURES] = hashed, features
            yield Rows(
                keys=[name_of(number) for number in numbers],
                content_hash=content,
                labels=[f"class {number % CLASSES:02d}" for number in numbers],
                file_size=np.zeros(len(numbers), np.int64),
                file_mtime_ns=np.zeros(len(numbers), np.int64),
                splits=tuple("test" if number % 5 == 0 else "train" for number in numbers),
                features={layer: vectors},
                columns={"price": np.array(numbers, np.float64) % 100},
            )

    def near(count: int) -> np.ndarray:
        noise = rng.standard_normal((count, *shape), np.float32)
        return centres[rng.integers(0, CLUSTERS, count)] + 0.7 * noise

    names = {f"class {number:02d}" for number in range(CLASSES)}
    columns = {"price": ColumnFormat("float64")}
    announced = Announced(rows, 32, names, {"test", "train"}, columns)
    write_store(path, header, blocks(), announced)
    featx.build_index(path)


def name_of(number: int) -> str:
    """Return the key of a row."""
    return f"{number:04d}.jpg" if number < PICTURES else f"{number // 1000:05d}/{number:08d}.jpg"


def list_questions(rows: int, picture: bytes) -> dict[str, tuple[str, str, bytes | None, str]]:
    """Return what is asked first: method, address, body, and its kind."""
    name, keys = quote("class 03"), [name_of(1)]
    asked = {
        "page": "/",
        "describe": "/describe",
        "list": "/items?limit=50",
        "list, its end": f"/items?limit=50&offset={rows - 60}",
        "label": f"/items?limit=50&label={name}",
        "split": "/items?limit=50&split=test",
        "glob of files": "/items?limit=50&path=" + quote("*7.jpg"),
        "folder": "/items?limit=50&path=00003",
        "glob of folders": "/items?limit=50&path=" + quote("0000[3-5]"),
        "condition": "/items?limit=50&where_column=" + quote("price < 20 and label == 'class 03'"),
        "item": f"/items/{name_of(rows - 1)}",
        "thumbnail": f"/thumbnails/{name_of(7)}",
        "picture": f"/pictures/{name_of(8)}",
    }
    searches = {"search by key": {"keys": keys}, "filtered": {"keys": keys, "split": ["test"]}}
    return {
        **{title: ("GET", address, None, "") for title, address in asked.items()},
        **{
            title: ("POST", "/search", json.dumps(question).encode(), "application/json")
            for title, question in searches.items()
        },
        "search by picture": ("POST", "/search", picture, "image/jpeg"),
    }


def measure_first(store: Path, rows: int, picture: bytes) -> dict[str, tuple[float, float]]:
    """Return how long servers take to begin, and to answer at once and again, in milliseconds."""
    found, starts = {}, []
    for title, question in list_questions(rows, picture).items():
        with tempfile.TemporaryDirectory() as cache:  # Without a thumbnail that was made before.
            served = Served(store, {CACHE_VARIABLE: cache} if title == "thumbnail" else {})
            times = []
            for _ in range(2):
                began = time.perf_counter()
                served.ask(*question)
                times.append(1e3 * (time.perf_counter() - began))
            served.end()
        found[title] = (times[0], times[1])
        starts.append(1e3 * served.start_seconds)
    return {"start": (min(starts), max(starts)), **found}


def put_load(served: Served, pictures: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Let clients ask, each one question after the other."""
    load, ends = Load(), time.perf_counter() + seconds

    def ask(first: int) -> None:
        connection, number = served.connect(), first
        while time.perf_counter() < ends:
            began = time.perf_counter()
            if connection.sock is None:
                try:
                    connection.connect()
                except OSError:
                    return  # It takes no more connections.
            try:
                data = pictures[number % len(pictures)]
                connection.request("POST", "/search?k=10", data, {"Content-Type": "image/jpeg"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                load.lost += 1
                return
            load.statuses.append(answer.status)
            if answer.status == 200:
                load.seconds.append(time.perf_counter() - began)
            else:
                time.sleep(0.1)
            number += 1

    threads = [threading.Thread(target=ask, args=(37 * n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load


def end_under_load(served: Served, pictures: Sequence[bytes]) -> Load:
    """Send SIGTERM while clients are asking."""
    timer = threading.Timer(2.0, served.process.send_signal, [signal.SIGTERM])
    timer.start()
    load = put_load(served, pictures, 8, 60)
    served.process.wait()
    return load


def measure_command(folder: Path) -> float:
    """Return how many pictures in a second one call computes, when the network is loaded."""
    featx.extract(folder / "pictures", output=folder / "rate.h5")
    extractor = featx.Extractor()
    extractor(folder / "pictures")  # The network is loaded.
    began = time.perf_counter()
    extractor(folder / "pictures")
    return PICTURES / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folder", type=Path, default=Path("serve-benchmark"))
    given = parser.parse_args()
    os.makedirs(given.folder, exist_ok=True)
    pictures = write_pictures(given.folder / "pictures")
    rate = measure_command(given.folder)
    console = Console()
    console.print(f"in one call: {rate:.0f} pictures/s")
    first = Table("ms, at once / again", *(f"{rows:,} rows" for rows in given.rows))
    loads = Table("rows", "clients", "answers/s", "of one call", "median ms", "p99 ms", "429",
                  "memory MiB")  # fmt: skip
    columns = []
    for rows in given.rows:
        store = given.folder / f"{rows}.h5"
        if not store.exists():
            write_large(store, given.folder / "rate.h5", rows)
        columns.append(measure_first(store, rows, pictures[0]))
        served = Served(store)
        put_load(served, pictures, 2, 3)  # The network is loaded.
        for clients in given.clients:
            before = served.memory
            load = put_load(served, pictures, clients, given.seconds)
            times = sorted(load.seconds) or [float("nan")]
            done = len(load.seconds) / given.seconds
            loads.add_row(
                f"{rows:,}", str(clients), f"{done:.1f}", f"{done / rate:.2f}",
                f"{1e3 * statistics.median(times):.0f}",
                f"{1e3 * times[int(0.99 * len(times))]:.0f}",
                str(load.statuses.count(429)), f"{before >> 20} to {served.memory >> 20}",
            )  # fmt: skip
            console.print(f"{rows:,} rows, {clients} clients: {done:.1f} answers/s")
        ended = end_under_load(served, pictures)
        console.print(
            f"{rows:,} rows, SIGTERM: {len(ended.statuses)} answered, {ended.lost} lost, exit "
            f"status {served.process.returncode}"
        )
    for name in columns[0]:
        first.add_row(name, *("{:.0f} / {:.0f}".format(*column[name]) for column in columns))
    console.print(first)
    console.print(loads)


if __name__ == "__main__":
    main()
