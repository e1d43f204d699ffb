"""Ways to run featx in several processes and threads; each is a program of its own.

    python -m benchmarks.processes.ways NAME ENGINE FOLDER

It exits with status 0 if what the table of "Threads, processes and servers" says is so.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import ForkError
from featx.testing import write_images

LONGEST_SECONDS = 90
"""A child or a server that takes longer hangs."""


def embed(engine: str, count: int = 3) -> np.ndarray:
    """Compute features of some pictures."""
    pixels = np.arange(count * 64 * 64 * 3, dtype=np.uint64).reshape(count, 64, 64, 3)
    vectors = featx.embed((pixels * 7 % 251).astype(np.uint8), engine=engine)
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (count, 256), vectors.shape
    return vectors


def in_a_fork(action: Callable[[], object]) -> None:
    """Run an action in a forked process, which then ends as a program does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        action()
        sys.exit(0)
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, status
            return
        time.sleep(0.05)
    os.kill(child, 9)
    raise AssertionError("the forked process hangs")


def expect_refusal(engine: str) -> None:
    """Check that a model is refused, with what to do."""
    with pytest.raises(ForkError, match="spawn"):
        embed(engine)


def fork_before(engine: str, folder: Path) -> None:
    in_a_fork(lambda: embed(engine))


def fork_after(engine: str, folder: Path) -> None:
    embed(engine)
    in_a_fork(lambda: expect_refusal(engine))
    embed(engine)


def fork_with_extractor(engine: str, folder: Path) -> None:
    extractor = featx.Extractor(engine=engine)
    pixels = np.zeros((2, 64, 64, 3), np.uint8)
    extractor(pixels)

    def use() -> None:
        with pytest.raises(ForkError, match="spawn"):
            extractor(pixels)

    in_a_fork(use)


def fork_after_own_tensorflow(engine: str, folder: Path) -> None:
    import tensorflow

    tensorflow.ones((2, 2)) @ tensorflow.ones((2, 2))
    in_a_fork(lambda: expect_refusal("tensorflow"))


def fork_with_stores(engine: str, folder: Path) -> None:
    write_images(8, folder / "images", classes=("dark", "light"), size=(40, 30))
    path = folder / "features.h5"
    featx.extract(folder / "images", output=path, engine=engine)
    store = featx.open_store(path)
    values = store.table("embedding").values[:]
    head = folder / "head"
    featx.fit_head(path, output=head)
    featx.build_index(path)
    key = store.keys[0]
    expected = featx.search(keys=[key], features=path)

    def read() -> None:
        assert np.array_equal(store.table("embedding").values[:], values)
        assert featx.search(keys=[key], features=path).results == expected.results
        featx.fit_head(path, output=folder / "second")

    in_a_fork(read)


def _embed_in_pool(method: str, engine: str) -> None:
    expected = embed(engine)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for vectors in pool.map(embed, [engine] * 2, timeout=LONGEST_SECONDS):
            assert np.allclose(vectors, expected, atol=1e-4)


def spawn(engine: str, folder: Path) -> None:
    _embed_in_pool("spawn", engine)


def forkserver(engine: str, folder: Path) -> None:
    _embed_in_pool("forkserver", engine)


def threads(engine: str, folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(embed, [engine] * 8))
    assert all(np.allclose(vectors, results[0], atol=1e-4) for vectors in results)


def run_asyncio(engine: str, folder: Path) -> None:
    async def main() -> list[np.ndarray]:
        return await asyncio.gather(*(asyncio.to_thread(embed, engine) for _ in range(4)))

    results = asyncio.run(main())
    assert all(np.allclose(vectors, results[0], atol=1e-4) for vectors in results)


def wsgi(engine: str, folder: Path) -> None:
    command = ["gunicorn", "--workers", "2", "--threads", "2", "--timeout", "80"]
    with _serving([*command, "--bind", "127.0.0.1:0", "benchmarks.processes.servers:wsgi"], engine):
        pass


def wsgi_preloaded(engine: str, folder: Path) -> None:
    command = ["gunicorn", "--preload", "--workers", "2", "--timeout", "80"]
    application = "benchmarks.processes.servers:preloaded"
    with _serving([*command, "--bind", "127.0.0.1:0", application], engine, "ForkError"):
        pass


def asgi(engine: str, folder: Path) -> None:
    with _serving(["uvicorn", "--port", "0", "benchmarks.processes.servers:asgi"], engine):
        pass


@contextmanager
def _serving(command: list[str], engine: str, expected: str = "256") -> Iterator[None]:
    """Start a server, ask it four things at a time, and end it: it must end by itself."""
    server = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | {"FEATX_ENGINE": engine},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    found = threading.Event()

    def read() -> None:
        assert server.stderr is not None
        for line in server.stderr:
            lines.append(line)
            if "http://127.0.0.1:" in line:
                found.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        assert found.wait(LONGEST_SECONDS), "".join(lines)
        (line,) = [line for line in lines if "http://127.0.0.1:" in line][:1]
        address = line[line.index("http://127.0.0.1:") :].split()[0].rstrip("/")

        def ask(_: int) -> str:
            with urllib.request.urlopen(address, timeout=LONGEST_SECONDS) as answer:
                return str(answer.read().decode())

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, range(8)))
        assert answers == [expected] * 8, (answers, "".join(lines))
        yield
    finally:
        server.terminate()
        try:
            assert server.wait(20) in (0, -15), server.returncode
        except subprocess.TimeoutExpired:
            server.kill()
            raise


WAYS: dict[str, Callable[[str, Path], None]] = {
    "fork, before a model was used": fork_before,
    "fork, after a model was used": fork_after,
    "fork, with an `Extractor` that was used": fork_with_extractor,
    "fork, after the program itself used TensorFlow": fork_after_own_tensorflow,
    "fork, with stores and indexes that are open": fork_with_stores,
    "spawn": spawn,
    "forkserver": forkserver,
    "threads": threads,
    "asyncio": run_asyncio,
    "WSGI: gunicorn": wsgi,
    "WSGI: gunicorn `--preload`, a model used before": wsgi_preloaded,
    "ASGI: uvicorn": asgi,
}
"""Line of the table → what shows that it is so."""


def main() -> None:
    WAYS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
    print("as the table says")


if __name__ == "__main__":
    main()
