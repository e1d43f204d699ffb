"""The contract tests of featx, for what this package adds."""

from __future__ import annotations

import pytest

from featx.testing.contracts.exports import ExportContract
from featx.testing.contracts.heads import HeadContract
from featx.testing.contracts.models import ModelCase, ModelSourceContract


@pytest.mark.parametrize("kind", ["nearest"])
class TestHead(HeadContract):
    pass


@pytest.mark.parametrize("format", ["jsonl"])
class TestExport(ExportContract):
    pass


@pytest.mark.parametrize("case", [ModelCase("color:histogram", ("grid", "histogram"))])
class TestSource(ModelSourceContract):
    pass
