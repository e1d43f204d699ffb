"""A connection to a cluster of Ray: the program's own, one that is running, or one started here."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from featx.errors import ClusterError, InvalidValue, LibraryMissing, first_line
from featx.host import environment, printing_to_stderr
from featx.machine import available_cores
from featx.wording import option

LOCAL, AUTO, CLIENT_PREFIX = "local", "auto", "ray://"

OBJECT_STORE_BYTES = 128 << 20
"""Memory that workers on this machine share; only tasks and what they have in common go through."""

CHANGED_VARIABLES = ("PYTHONBREAKPOINT", "RAY_AUTH_MODE")
"""What Ray sets in the environment of a program that connects: its debugger, and that it has a
token."""


def check_address(text: str) -> str:
    """Return the address of a cluster.

    Raises:
        InvalidValue: If it is none.

    Example:
        >>> check_address("ray://head:10001")
        'ray://head:10001'
    """
    host, colon, port = text.removeprefix(CLIENT_PREFIX).rpartition(":")
    is_address = text.startswith(CLIENT_PREFIX) and host and colon and port.isdecimal()
    if text not in (LOCAL, AUTO) and not is_address:
        raise InvalidValue(
            f"A cluster is '{LOCAL}' (workers on this machine), '{AUTO}' (the one that this "
            f"machine belongs to) or an address: {option('cluster', 'ray://HOST:10001')}. "
            f"Received: {text!r}."
        )
    return text


def import_ray(needed_by: str | None = None) -> Any:
    """Import Ray.

    Args:
        needed_by: What needs it; the option for a cluster when None.

    Raises:
        LibraryMissing: Says what to type.
    """
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise LibraryMissing('"featx[ray]"', needed_by or option("cluster")) from None


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give the module of Ray, connected to a cluster; the program's own connection is kept.

    Args:
        address: See `check_address`.

    Raises:
        ClusterError: If there is no cluster there.
        LibraryMissing: If Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    with _same_process():
        try:
            _connect(ray, address)
        except Exception as error:  # Each way of connecting has errors of its own.
            reason = first_line(error).partition(". ")[0].rstrip(".")  # Not Ray's own options.
            raise ClusterError(
                f"There is no cluster of Ray to be reached at {address!r}: {reason}. Start one, or "
                f"work on this machine with {option('cluster', LOCAL)}."
            ) from error
        try:
            with printing_to_stderr(), _quiet(ray):
                yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    # Ray reports on its use to its makers unless it is told not to.
    with environment({"RAY_USAGE_STATS_ENABLED": "0"}):
        if address != LOCAL:
            ray.init(address, **quiet)
            return
        ray.init(
            LOCAL,
            num_cpus=available_cores(),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            **quiet,
        )


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep off the screen what Ray prints when a node dies: the end of its log, hundreds of lines.

    By a switch that Ray has for its debugger; no setting does it.
    """
    worker = ray._private.worker
    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


@contextlib.contextmanager
def _same_process() -> Iterator[None]:
    """Put back what Ray changes: what the program does when it is told to end, and variables."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    unset = [name for name in CHANGED_VARIABLES if name not in os.environ]
    try:
        yield
    finally:
        if is_main and handler is not None:  # None: it was not set from Python.
            signal.signal(signal.SIGTERM, handler)
        for name in unset:
            os.environ.pop(name, None)
