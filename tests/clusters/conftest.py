"""A local cluster of Ray, started once; its workers know the toy.

It lives as long as the tests of this folder run: its processes are busy even where nobody asks
them for anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package")
def ray() -> Iterator[Any]:
    """The module of Ray, connected to a cluster on this machine; skips where it is missing."""
    module = pytest.importorskip("ray")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    module.init(
        "local",
        num_cpus=2,
        object_store_memory=100 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"worker_process_setup_hook": "featx.testing.toy.register_toy_model"},
    )
    yield module
    module.shutdown()
    patch.undo()
