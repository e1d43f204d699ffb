"""Tables of held-out pictures that are opened in spreadsheets."""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import InvalidValue
from featx.heads.row_table import write_rows
from tests.store_samples import write_sample

COUNT = 24


def write_formulas(path: Path, seed: int) -> list[str]:
    """Write a store of which all names are formulas; return its keys."""
    random = np.random.default_rng(seed)
    targets = np.arange(COUNT) % 2
    values = random.normal(size=(COUNT, 3)).astype(np.float32)
    values[:, 0] += 9 * targets
    keys = [f"={seed}+{number}.png" for number in range(COUNT)]
    labels = [("+yes", "@no")[target] for target in targets]
    write_sample(path, {"v": values}, keys, labels=labels)
    return keys


@pytest.mark.parametrize("safe", [False, True])
def test_names_like_formulas_are_no_formulas_in_a_safe_table(tmp_path: Path, safe: bool) -> None:
    mark = "'" if safe else ""
    labels = {f"{mark}+yes", f"{mark}@no"}
    write_formulas(tmp_path / "f.h5", 1)
    rows = tmp_path / "rows.csv"
    options = {"output": tmp_path / "head", "rows": rows, "csv_safe": safe, "cv": 2}
    featx.fit_head(tmp_path / "f.h5", kind="ridge", **options)
    lines = read_lines(rows)
    assert {line["path"][: len(mark) + 3] for line in lines} == {f"{mark}=1+"}
    assert {line["label"] for line in lines} | {line["predicted"] for line in lines} == labels
    assert all(0 <= float(line["probability"]) <= 1 for line in lines)

    write_formulas(tmp_path / "g.h5", 2)
    featx.evaluate(tmp_path / "g.h5", head=tmp_path / "head", rows=rows, csv_safe=safe)
    assert {line["label"] for line in read_lines(rows)} == labels


@pytest.mark.parametrize("safe", [False, True])
def test_numbers_are_no_formulas(tmp_path: Path, safe: bool) -> None:
    keys = write_formulas(tmp_path / "f.h5", 1)
    table = tmp_path / "numbers.csv"
    numbers = np.linspace(-2, 2, COUNT)
    lines = [f"{key},{number}" for key, number in zip(keys, numbers, strict=True)]
    table.write_text("\n".join(["path,amount", *lines]), encoding="utf-8")
    rows = tmp_path / "rows.csv"
    options = {"labels": table, "target": "amount", "rows": rows, "csv_safe": safe}
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", cv=2, **options)
    found = [float(line["label"]) for line in read_lines(rows)]
    assert sorted(found) == pytest.approx(numbers.tolist())


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts elsewhere")
def test_a_folder_whose_name_is_no_text_is_named_by_its_bytes(tmp_path: Path) -> None:
    """As `evaluate` names pictures: by their whole paths."""
    write_formulas(tmp_path / "f.h5", 1)
    held_out = featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", kind="ridge").held_out
    assert held_out is not None
    folder = os.fsdecode(b"/photos-\xff/")
    keys = tuple(folder + key for key in held_out.keys)
    write_rows(replace(held_out, keys=keys), tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_bytes().splitlines()
    assert all(line.startswith(b"/photos-\xff/=1+") for line in lines[1:])


def test_a_safe_table_needs_a_table(tmp_path: Path) -> None:
    for call in (featx.fit_head, featx.evaluate):
        with pytest.raises(InvalidValue, match=r"csv_safe=True goes with rows='OUT\.csv'"):
            call(tmp_path / "f.h5", csv_safe=True)


def read_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
