"""Shards: which task of a job array this is, and how evenly images are divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import InvalidType, InvalidValue
from featx.images.sharding import find_shard, shard_of
from featx.testing import toy_model, write_images


def slurm(task: int, count: int, first: int = 1) -> dict[str, str]:
    """Return what SLURM sets for a task of ``--array=FIRST-...``."""
    return {
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_ARRAY_TASK_MIN": str(first),
    }


def cloud_run(task: int, count: int) -> dict[str, str]:
    return {"CLOUD_RUN_TASK_INDEX": str(task), "CLOUD_RUN_TASK_COUNT": str(count)}


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("auto", slurm(1, 8), (1, 8)),
        ("auto", slurm(8, 8), (8, 8)),
        ("auto", slurm(0, 8, first=0), (1, 8)),
        ("auto", slurm(7, 8, first=0), (8, 8)),
        ("auto/8", slurm(3, 2, first=3), (3, 8)),  # Some tasks are repeated.
        ("auto/8", slurm(0, 8, first=0), (1, 8)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "7"}, (8, 8)),
        ("auto", cloud_run(0, 3), (1, 3)),
        ("auto/3", cloud_run(2, 3), (3, 3)),
    ],
)
def test_a_task_finds_its_shard(
    text: str, environment: dict[str, str], shard: tuple[int, int]
) -> None:
    found, read = find_shard(text, environment)
    assert found == shard
    name, value = read.split(", ")[0].split("=")
    assert environment[name] == value


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("auto", {}, "none is in the environment; expected: SLURM_ARRAY_TASK_ID"),
        ("auto/4", {"SLURM_JOB_ID": "7"}, "none is in the environment"),
        ("auto", {"JOB_COMPLETION_INDEX": "3"}, "not of how many: say shard='auto/8'"),
        ("auto", slurm(4, 4, first=4), "begins with 4 .* may repeat tasks of a larger one"),
        ("auto", slurm(9, 3), "contradict each other: 3 tasks are numbered from 1 to 3"),
        ("auto/3", slurm(9, 3), "SLURM_ARRAY_TASK_ID=9 is no task of 3: .* from 1 to 3"),
        ("auto/3", {"JOB_COMPLETION_INDEX": "3"}, "no task of 3: they are numbered from 0 to 2"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "2"}, "Received: no SLURM_ARRAY_TASK_COUNT"),
        ("auto", slurm(1, 2) | {"SLURM_ARRAY_TASK_COUNT": "x"}, "COUNT='x'"),
        ("auto", slurm(1, 2) | cloud_run(0, 2), "are both in the environment"),
    ],
)
def test_what_the_environment_lacks_is_one_line(
    text: str, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message) as caught:
        find_shard(text, environment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["auto/", "auto/0", "auto/x", "Auto", "auto/-1", "1/auto"])
def test_no_other_text_is_a_shard(text: str) -> None:
    with pytest.raises(InvalidType, match="'shard' takes"):
        featx.UpdateOptions(shard=text)


def test_an_array_makes_the_stores_of_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, model = write_images(9), toy_model()
    for task in range(3):
        monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", str(task))
        monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "3")
        path = tmp_path / f"{task}.h5"
        featx.extract(photos, model, layer="mean", output=path, shard="auto", verbose=True)
        assert f"part {task + 1} of 3 (CLOUD_RUN_TASK_INDEX={task}" in capsys.readouterr().err
        plain = tmp_path / "plain.h5"
        featx.extract(photos, model, layer="mean", output=plain, shard=(task + 1, 3))
        with featx.open_store(path) as one, featx.open_store(plain) as other:
            assert one.keys == other.keys
        plain.unlink()


def test_shards_are_about_equal_and_stay_as_images_come() -> None:
    keys = [f"class_{number % 50}/image_{number}.jpg" for number in range(20_000)]
    shards = np.array([shard_of(key, 40) for key in keys])
    counts = np.bincount(shards, minlength=41)[1:]
    # As if drawn at random: 500 with a standard deviation of 22.
    assert abs(counts - 500).max() < 4.5 * 22.1
    # Also of each class, and of any pictures that are large.
    of_class = np.bincount(shards[::50], minlength=41)[1:]
    assert of_class.max() < 10 + 5 * 3.2
