"""Errors are values: they go to another process and come back as they were."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import featx
from featx import errors
from featx.engines.graph import NotConvertible
from featx.errors import FeatxError, FingerprintMismatch, NotInstalled, UnknownName, UnknownOption
from featx.extraction.report import ExtractReport
from featx.images.sources import ImageFailure

REPORT = ExtractReport("f.h5", 0, 0, 0, 0, 0, 0, 0, 1, failures=(ImageFailure("a", "cut", 9, 1),))

WITH_FIELDS: dict[type[FeatxError], FeatxError] = {
    UnknownName: UnknownName("layer", "conv9", ["conv1"], remedy="See `featx layers`."),
    UnknownOption: UnknownOption("extract", "bach_size", ["batch_size"]),
    errors.DownloadNotAllowed: errors.DownloadNotAllowed("A model", "allow_download=True"),
    errors.RepeatedOption: errors.RepeatedOption("workers", "RunOptions"),
    errors.AllImagesFailed: errors.AllImagesFailed("The first one: a: cut.", REPORT),
    errors.UnknownImage: errors.UnknownImage("image in the store", "a.jpg", ["b.jpg"]),
    errors.LibraryMissing: errors.LibraryMissing("pandas", "to_pandas()"),
    NotInstalled: NotInstalled("kind of head", "forest", "head.json", "featx-forest"),
    FingerprintMismatch: FingerprintMismatch(
        "The store is of another model.", [("model", "a", None)], remedy="Use --overwrite."
    ),
}
"""The errors whose constructors take something else than a message."""


def classes(kind: type[FeatxError] = FeatxError) -> Iterator[type[FeatxError]]:
    """Yield a class and all that derive from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from classes(derived)


def example(kind: type[FeatxError]) -> FeatxError:
    return WITH_FIELDS.get(kind) or kind("expected a, received b")


def facts(error: FeatxError) -> tuple[Any, ...]:
    return type(error), str(error), error.args, vars(error)


ALL = sorted({NotConvertible, *classes()}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_every_error_can_be_pickled_and_copied(kind: type[FeatxError], protocol: int) -> None:
    error = example(kind)
    error.add_note("in the third shard")
    assert facts(pickle.loads(pickle.dumps(error, protocol))) == facts(error)
    assert facts(copy.copy(error)) == facts(error)


def test_every_error_of_the_module_is_tested() -> None:
    members = inspect.getmembers(errors, inspect.isclass)
    found = {one for _, one in members if one.__module__ == errors.__name__}
    assert found <= set(ALL)
    assert len(found) > 20


def fail(kind: str) -> None:
    raise WITH_FIELDS[getattr(errors, kind)]


@pytest.mark.slow
def test_errors_cross_a_process_pool() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for kind, error in WITH_FIELDS.items():
            with pytest.raises(kind) as raised:
                pool.submit(fail, kind.__name__).result()
            assert str(raised.value) == str(error)


def test_the_module_of_errors_is_there_at_once() -> None:
    code = "import featx; print(featx.errors.StoreNotFound.__name__, 'errors' in dir(featx))"
    folder = Path(featx.__file__).parents[1]
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    assert result.stdout.split() == ["StoreNotFound", "True"]
