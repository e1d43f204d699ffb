"""One thread for numerical libraries, while work is divided among threads in another way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from featx.forks import ProcessLock


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep numerical libraries to one thread; several threads may do so at once, and in each other.

    Example:
        >>> with one_thread():
        ...     print(sum(range(5)))
        10
    """
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    # OpenMP has a number for each thread that computes; BLAS has one for the whole process.
    with controller.select(user_api="openmp").limit(limits=1):
        _BLAS.limit(controller)
        try:
            yield
        finally:
            _BLAS.release()


class _Blas:
    """How many are at work that keep BLAS to one thread: the last one gives the others back."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._users: dict[int, int] = {}  # By process: a fork has only the thread that forked.
        self._limited: list[tuple[Any, int]] = []

    def limit(self, controller: Any) -> None:
        with self._lock:
            users = self._users.get(os.getpid(), 0)
            if users == 0 and not self._limited:  # In a fork, those that its parent had limited.
                found = controller.select(user_api="blas").lib_controllers
                self._limited = [(one, one.num_threads) for one in found if one.num_threads != 1]
                _set_threads([(one, 1) for one, _ in self._limited])
            self._users[os.getpid()] = users + 1

    def release(self) -> None:
        with self._lock:
            self._users[os.getpid()] -= 1
            if self._users[os.getpid()] == 0:
                _set_threads(self._limited)
                self._limited = []


def _set_threads(numbers: list[tuple[Any, int]]) -> None:
    from threadpoolctl import OpenBLASController

    for library, number in numbers:
        library.set_num_threads(number)
    # In newer versions, once a thread has set a number, no other one can until it lets go.
    let_go = getattr(OpenBLASController, "clear_controlling_thread", None)
    if let_go is not None:
        let_go()


_BLAS = _Blas()
