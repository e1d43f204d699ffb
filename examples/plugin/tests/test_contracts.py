"""The contract tests of featx, for what this package adds."""

from __future__ import annotations

import pytest

from featx.testing.contracts.exports import ExportContract
from featx.testing.contracts.heads import HeadContract


@pytest.mark.parametrize("kind", ["nearest"])
class TestHead(HeadContract):
    pass


@pytest.mark.parametrize("format", ["jsonl"])
class TestExport(ExportContract):
    pass
