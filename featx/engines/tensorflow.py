"""TensorFlow itself: its quiet import, and the GPUs that it uses."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from featx.errors import ModelError
from featx.machine import has_gpu_driver
from featx.specs import DEFAULT_BATCH_SIZE

_LOG_LINE = re.compile(
    rb"WARNING: All log messages before absl|[IWEF]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] "
)

_NO_DRIVER_LINE = re.compile(rb".*failed call to cuInit")


def import_tensorflow() -> Any:
    """Import TensorFlow with Keras 3 on top, without its log lines reaching the user.

    To see them, set ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1.

    Returns:
        The module `tensorflow`.

    Raises:
        ModelError: If Keras was already imported with another backend.
    """
    if "tensorflow" not in sys.modules:
        quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") not in ("0", "1")
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = "tensorflow"  # A user's setting is for their programs.
        with _without_lines(_LOG_LINE) if quiet else contextlib.nullcontext():
            import keras
            import tensorflow
        if quiet:
            if not has_gpu_driver():
                # TensorFlow looks for GPUs when it is first used. Where there is no driver, it
                # reports that as an error, which a log level of 2 shows.
                with _without_lines(_NO_DRIVER_LINE):
                    tensorflow.config.list_physical_devices()
            tensorflow.get_logger().setLevel("ERROR")
            tensorflow.autograph.set_verbosity(0)
    import keras
    import tensorflow

    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            "featx runs Keras on TensorFlow. Received: a process in which Keras was imported "
            f"with the backend {keras.backend.backend()!r}. Import featx first, or set "
            "KERAS_BACKEND=tensorflow."
        )
    return tensorflow


@contextlib.contextmanager
def _without_lines(pattern: re.Pattern[bytes]) -> Iterator[None]:
    """Hold back what is written to stderr, then pass on the lines that do not match a pattern.

    TensorFlow writes some lines before its log level is in force, directly to the file
    descriptor, where no Python setting can stop them.
    """
    try:
        saved = os.dup(2)
    except OSError:  # No stderr at all: nothing to keep quiet.
        yield
        return
    with tempfile.TemporaryFile() as captured:
        sys.stderr.flush()
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            captured.seek(0)
            kept = [line for line in captured if not pattern.match(line)]
            os.write(2, b"".join(kept))


CALLS_PER_GPU = 2
"""Batches given to a GPU at the same time: one is computed while another is copied."""

GPU_BATCH_SIZE = 64
"""Images given to a GPU at a time by default: fewer do not keep a large one busy."""


def list_gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow uses, such as ``/GPU:0``."""
    devices = import_tensorflow().config.list_logical_devices("GPU")
    return [f"/GPU:{number}" for number in range(len(devices))]


def calls_at_a_time() -> int:
    """Return how many batches may be computed at the same time: one on the CPU, two on each GPU."""
    return max(1, CALLS_PER_GPU * len(list_gpus()))


def images_at_a_time() -> int:
    """Return how many images are best given in one call."""
    return GPU_BATCH_SIZE if list_gpus() else DEFAULT_BATCH_SIZE
