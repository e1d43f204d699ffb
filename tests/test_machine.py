"""Which cores a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from featx import machine


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("9900000 100000", 8),
        ("", 8),
        ("x y", 8),
        ("100000 0", 8),
    ],
)
def test_the_quota_of_a_container_limits_the_cores(
    content: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert machine.available_cores() == expected


def test_without_control_groups_and_affinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path / "nothing")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for cores, expected in [(None, 1), (1, 1), (64, 64)]:
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert machine.available_cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("150000", 2)])
def test_the_first_version_of_control_groups(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert machine.available_cores() == expected


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_gpus_are_none(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.glob, "glob", lambda pattern: ["/dev/nvidia0"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.has_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert not machine.has_gpu()
