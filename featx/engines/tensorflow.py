"""TensorFlow itself: its quiet import, and the GPUs that it uses."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Any

from featx.errors import ModelError
from featx.forks import TENSORFLOW, ProcessLock, start_threads
from featx.host import environment, importing_without, is_own_process, stderr_without
from featx.machine import has_gpu_driver
from featx.specs import DEFAULT_BATCH_SIZE

_LOG_LINE = re.compile(
    rb"WARNING: All log messages before absl|[IWEF]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] "
)

_NO_DRIVER_LINE = re.compile(rb".*failed call to cuInit")

_SET_BY_IMPORT = (
    "ENABLE_RUNTIME_UPTIME_TELEMETRY",
    "HDF5_PLUGIN_PATH",
    "TF2_BEHAVIOR",
    "TPU_ML_PLATFORM",
    "TPU_ML_PLATFORM_VERSION",
)
"""What TensorFlow and Keras set for themselves when they are imported, and read only then. (Of
scikit-learn, which Keras imports, ``KMP_...`` stay: other libraries' OpenMP reads them later.)"""

_importing = ProcessLock()


def import_tensorflow() -> Any:
    """Import TensorFlow with Keras 3 on top, without its log lines reaching the user.

    To see them, set ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1. In a process that is neither featx's own
    nor watched by a person, the few lines that it writes before it has read its level are shown.

    Returns:
        The module `tensorflow`.

    Raises:
        ForkError: If TensorFlow was used before this process was forked.
        ModelError: If Keras was already imported with another backend.
    """
    start_threads(TENSORFLOW)
    with _importing:
        if "tensorflow" not in sys.modules:
            _import_quietly()
    import keras
    import tensorflow

    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            "featx runs Keras on TensorFlow. Received: a process in which Keras was imported "
            f"with the backend {keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow before "
            "Keras is imported, or call featx in a process of its own. The built-in network and "
            "ONNX models need no Keras."
        )
    return tensorflow


def _import_quietly() -> None:
    """Import TensorFlow and Keras, which read their settings at that moment and only then."""
    variables = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")}
    if "keras" not in sys.modules:
        variables["KERAS_BACKEND"] = "tensorflow"  # A user's setting is for their programs.
    quiet = variables["TF_CPP_MIN_LOG_LEVEL"] not in ("0", "1")
    with (
        environment(variables, _SET_BY_IMPORT),
        stderr_without(_LOG_LINE) if quiet else contextlib.nullcontext(),
        importing_without(_NOT_TO_COMPUTE),
    ):
        import keras  # noqa: F401
        import tensorflow
    if quiet and is_own_process():
        if not has_gpu_driver():
            # TensorFlow looks for GPUs when it is first used. Where there is no driver, it
            # reports that as an error, which a log level of 2 shows.
            with stderr_without(_NO_DRIVER_LINE):
                tensorflow.config.list_physical_devices()
        tensorflow.get_logger().setLevel("ERROR")


_NOT_TO_COMPUTE = ("sklearn", "pandas", "scipy", "IPython")
"""What Keras and TensorFlow import if it is there, and none of them needs to compute: two
fifths of the time of their import."""


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
