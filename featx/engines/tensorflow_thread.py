"""Using TensorFlow apart from what the caller's thread is in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError

Result = TypeVar("Result")

_thread = threading.local()


def run_apart(function: Callable[[], Result]) -> Result:
    """Return the result of a function that runs in a thread of its own.

    A new thread has none of what belongs to the caller's: the graph or distribution strategy that
    it is in, Keras's dtype policy and name scopes, NumPy's handling of floating-point errors.

    Raises:
        ModelError: If TensorFlow behaves as its version 1 in this process.
    """
    if getattr(_thread, "is_apart", False):
        return function()
    import_tensorflow()
    return run_in_new_thread(function)


def run_in_new_thread(function: Callable[[], Result]) -> Result:
    """Return the result of a function that runs apart, in a thread that nothing ran in before.

    Raises:
        ModelError: If TensorFlow behaves as its version 1 in this process.
    """
    result: Future[Result] = Future()
    # A daemon: a program that is interrupted waits neither for a download nor for a large network.
    threading.Thread(
        target=_run, args=(function, result), name="featx and TensorFlow", daemon=True
    ).start()
    try:
        return result.result()
    finally:
        del result  # As in `_run`.


def _run(function: Callable[[], Result], result: Future[Result]) -> None:
    _thread.is_apart = True
    try:
        _require_version_2()
        result.set_result(function())
    except BaseException as error:
        result.set_exception(error)
        # The error holds this frame: without the way back, what it holds is freed at once.
        del result


def _require_version_2() -> None:
    tensorflow = import_tensorflow()
    if not (tensorflow.executing_eagerly() and isinstance(tensorflow.TensorShape([1])[0], int)):
        raise ModelError(
            "featx needs TensorFlow 2 as it is. Received: a process in which its eager execution "
            "or its shapes are those of version 1 (tf.compat.v1.disable_eager_execution, "
            "disable_v2_behavior, disable_v2_tensorshape). Leave that out, or call featx in a "
            "process of its own."
        )
