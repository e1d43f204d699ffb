"""Splits and groups of the pictures that a network learns from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import HeadError
from featx.events import Listener
from featx.heads.options import HeadOptions
from featx.options import InputOptions
from featx.training.network_choice import choose_network
from featx.training.options import ClassifierOptions, LessonOptions
from featx.training.start import TEST, TRAIN, VAL, Wanted, take_start
from tests.store_samples import write_sample

COUNT = 60


def write_store(folder: Path) -> Path:
    random = np.random.default_rng(0)
    labels = ["a", "b"] * (COUNT // 2)
    values = random.normal(size=(COUNT, 4)) + [[2 * (label == "a"), 0, 0, 0] for label in labels]
    keys = [f"{number:02}.png" for number in range(COUNT)]
    write_sample(folder / "f.h5", {"v": values.astype(np.float32)}, keys, labels=labels)
    lines = [
        f"{key},{label},{'test' if row % 10 < 2 else 'train'},{row // 4}"
        for row, (key, label) in enumerate(zip(keys, labels, strict=True))
    ]
    text = "\n".join(["path,label,split,person", *lines]) + "\n"
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return folder / "f.h5"


def divide(store: Path, options: LessonOptions) -> dict[str, int]:
    """Return the part of each picture."""
    start = take_start(store, Wanted(options, HeadOptions("lda")), Listener())
    return dict(zip(start.lesson.keys, start.lesson.parts.tolist(), strict=True))


def test_a_split_that_is_given_is_held_out_unless_it_is_ignored(tmp_path: Path) -> None:
    store, table = write_store(tmp_path), str(tmp_path / "table.csv")
    given = {f"{row:02}.png" for row in range(COUNT) if row % 10 < 2}

    parts = divide(store, LessonOptions(labels=table, near_duplicates="off"))
    ignored = divide(store, LessonOptions(labels=table, near_duplicates="off", ignore_split=True))

    assert {key for key, part in parts.items() if part == TEST} == given
    assert {key for key, part in ignored.items() if part == TEST} != given
    assert set(parts.values()) == set(ignored.values()) == {TRAIN, VAL, TEST}


def test_shares_are_those_that_are_asked_for(tmp_path: Path) -> None:
    store = write_store(tmp_path)

    parts = divide(store, LessonOptions(test_size=0.5, val_size=0.2, near_duplicates="off"))
    none = divide(store, LessonOptions(test_size=0.5, val_size=0, near_duplicates="off"))

    assert [list(parts.values()).count(part) for part in (TRAIN, VAL, TEST)] == [24, 6, 30]
    assert VAL not in none.values()


def test_a_group_is_in_one_part(tmp_path: Path) -> None:
    store, table = write_store(tmp_path), str(tmp_path / "table.csv")

    options = LessonOptions(labels=table, groups="person", ignore_split=True, near_duplicates="off")
    parts = divide(store, options)

    by_person: dict[int, set[int]] = {}
    for key, part in parts.items():
        by_person.setdefault(int(key[:2]) // 4, set()).add(part)
    assert all(len(found) == 1 for found in by_person.values())
    assert set().union(*by_person.values()) == {TRAIN, VAL, TEST}


def test_another_seed_divides_otherwise(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    options = LessonOptions(near_duplicates="off")
    one, other = (
        take_start(store, Wanted(options, HeadOptions("lda"), seed=seed), Listener())
        for seed in (0, 1)
    )
    assert (one.lesson.parts != other.lesson.parts).any()


@pytest.mark.parametrize("settings", [{"folds": 5}, {"C": "x"}])
def test_settings_of_somebody_else_fit_no_head(tmp_path: Path, settings: dict[str, Any]) -> None:
    options = LessonOptions(near_duplicates="off")
    wanted = Wanted(options, HeadOptions("linear"), settings=settings)
    with pytest.raises(HeadError, match="damaged: a linear head cannot be fitted"):
        take_start(write_store(tmp_path), wanted, Listener())


def test_a_head_that_names_other_layers_than_it_has_is_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    featx.fit_head(store, output=tmp_path / "head", kind="mlp", hidden=(4,), near_duplicates="off")
    head = featx.load_head(tmp_path / "head")
    assert choose(head).chosen == head.report["settings"]
    for settings in ({"hidden": [10**9]}, {"hidden": 3}, [1]):
        given = dataclasses.replace(head, report={"settings": settings})
        with pytest.raises(HeadError, match="its settings are not those of its arrays"):
            choose(given)


def choose(head: featx.Head) -> Any:
    return choose_network(
        head,
        None,
        weights=None,
        top=ClassifierOptions(),
        input=InputOptions(),
        trust_model_code=False,
        lesson=LessonOptions(),
    )
