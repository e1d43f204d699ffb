"""The contract tests that ship with featx, over everything in its registries."""

from __future__ import annotations

import pytest

from featx.exports.formats import EXPORTS
from featx.heads.kinds import HEADS
from featx.index.kinds import INDEXES
from featx.poolings import POOLINGS
from featx.testing.contracts.exports import ExportContract
from featx.testing.contracts.heads import HeadContract
from featx.testing.contracts.indexes import IndexContract
from featx.testing.contracts.poolings import PoolingContract


@pytest.mark.parametrize("kind", HEADS.names)
class TestHeads(HeadContract):
    pass


@pytest.mark.parametrize("kind", INDEXES.names)
class TestIndexes(IndexContract):
    pass


@pytest.mark.parametrize("format", EXPORTS.names)
class TestExports(ExportContract):
    pass


@pytest.mark.parametrize("pool", POOLINGS.names)
class TestPoolings(PoolingContract):
    pass
