"""The contract tests that ship with featx, over everything in its registries."""

from __future__ import annotations

import pytest

from featx.curation.clustering import CLUSTERINGS
from featx.curation.findings import FINDINGS
from featx.curation.layout import LAYOUTS
from featx.curation.strategy import STRATEGIES
from featx.exports.formats import EXPORTS
from featx.heads.kinds import HEADS
from featx.index.kinds import INDEXES
from featx.poolings import POOLINGS
from featx.testing.contracts.exports import ExportContract
from featx.testing.contracts.findings import FindingContract
from featx.testing.contracts.heads import HeadContract
from featx.testing.contracts.indexes import IndexContract
from featx.testing.contracts.maps import ClusteringContract, LayoutContract
from featx.testing.contracts.poolings import PoolingContract
from featx.testing.contracts.strategies import StrategyContract


@pytest.mark.parametrize("kind", HEADS.names)
class TestHeads(HeadContract):
    pass


@pytest.mark.parametrize("kind", [name for name in INDEXES.names if INDEXES[name].is_exact])
class TestExactIndexes(IndexContract):
    pass


@pytest.mark.parametrize("kind", ["ivf"])
class TestIndexesOfBytes(IndexContract):
    min_recall = 0.97
    tolerance = 0.01


@pytest.mark.parametrize("kind", ["ivf-rabitq"])
class TestIndexesOfBits(IndexContract):
    min_recall = 0.3  # Of 16 bits; the best of these are ranked by the store's vectors.
    tolerance = 0.5


@pytest.mark.parametrize("kind", ["hnsw"])
class TestGraphs(IndexContract):
    min_recall = 0.97
    tolerance = 0.01


def test_every_kind_of_index_is_tested() -> None:
    kinds = [name for name in INDEXES.names if not INDEXES[name].is_exact]
    assert kinds == ["ivf", "ivf-rabitq", "hnsw", "factory"]  # The last in tests/index.


@pytest.mark.parametrize("format", EXPORTS.names)
class TestExports(ExportContract):
    pass


@pytest.mark.parametrize("pool", POOLINGS.names)
class TestPoolings(PoolingContract):
    pass


@pytest.mark.parametrize("kind", FINDINGS.names)
class TestFindings(FindingContract):
    pass


@pytest.mark.parametrize("strategy", STRATEGIES.names)
class TestStrategies(StrategyContract):
    pass


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "umap" else ())
        for name in LAYOUTS.names
    ],
)
class TestLayouts(LayoutContract):
    pass


@pytest.mark.parametrize("clustering", CLUSTERINGS.names)
class TestClusterings(ClusteringContract):
    pass
