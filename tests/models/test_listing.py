"""`featx.layers`: the same layers as ``featx layers``, as a sequence, a table and a frame."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import featx
from featx.cli.app import app
from featx.errors import UnknownName


def in_shell(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["layers", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_it_lists_what_the_shell_does() -> None:
    pytest.importorskip("pandas")
    for pattern in ([], ["block*_pool"], ["embedding"]):
        table = featx.layers("builtin:mini", *pattern)
        shell = in_shell("builtin:mini", *pattern)
        assert json.loads(table.to_pandas().to_json(orient="records")) == shell
        assert len(table) == len(shell) > 0


def test_it_is_a_sequence_of_layers_that_shows_itself() -> None:
    table = featx.layers("builtin:mini")
    assert list(table) == [table[n] for n in range(len(table))]
    assert table[-1] in table
    part = table[1:3]
    assert isinstance(part, featx.LayerTable)
    assert part.names == tuple(layer.name for layer in table)[1:3]
    assert repr(table).startswith("<LayerTable 'builtin:mini': layers ")
    for name in table.names:
        assert name in str(table)
        assert name in table._repr_html_()
    assert featx.layers("builtin:mini", [table.names[0], table.names[2]]).names == (
        table.names[0],
        table.names[2],
    )


def test_an_unknown_layer_names_the_function_that_lists_them() -> None:
    with pytest.raises(UnknownName, match=r"`featx\.layers\(MODEL\)` lists them all"):
        featx.layers("builtin:mini", "no_such_*")
