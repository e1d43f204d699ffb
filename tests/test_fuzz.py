"""A short run of the fuzzer, and that the fuzzer blames the right case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzzing import supervisor
from benchmarks.fuzzing.supervisor import (
    CRASH,
    EXCEPTION,
    HANG,
    MEMORY,
    OTHER_VALUES,
    READ,
    REFUSED,
    Case,
    OtherValues,
    Result,
    run_cases,
)

ROOT = Path(__file__).parents[1]

LIMIT = 200 << 20
"""Bytes that a case of the fuzzer's own test may take."""

TOO_MUCH = LIMIT + (32 << 20)
"""More than the limit by more than Linux miscounts a process's memory."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["images", "--count", "75", "--seed", "11"],
        ["files", "--count", "80", "--seed", "1"],
        pytest.param(["images", "--count", "600", "--seed", "12"], marks=pytest.mark.slow),
        pytest.param(["files", "--count", "600", "--seed", "2"], marks=pytest.mark.slow),
    ],
)
def test_damaged_files_are_read_or_refused(arguments: list[str]) -> None:
    # A process of its own: forks of one in which TensorFlow ran may wait for its threads.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", *arguments, "--seconds-each", "60"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {arguments[4]}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["structures", pytest.param("models", marks=pytest.mark.tensorflow)]
)
def test_prepared_files_do_what_they_may(what: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.fuzz", what),
            *("--count", "100", "--seed", "1", "--seconds-each", "120"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_offence_is_blamed_on_its_case() -> None:
    runs: list[tuple[Callable[[], object], str]] = [
        (lambda: None, READ),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), CRASH),
        (refuse, REFUSED),
        (wait, HANG),
        (lambda: os._exit(0), CRASH),
        (lambda: None, READ),
        (lambda: np.ones(TOO_MUCH, np.uint8), MEMORY),
        (lambda: fill_memory_and_wait(TOO_MUCH), MEMORY),
        (run_out_of_memory, MEMORY),
        (read_other_values, OTHER_VALUES),
        (lambda: {}["missing"], EXCEPTION),
        (sys.exit, EXCEPTION),
        (lambda: os.write(1, b"said\n"), READ),
        (lambda: None, READ),
    ]
    results = run([action for action, _ in runs])
    assert [result.outcome for result in results] == [outcome for _, outcome in runs]
    details = [result.detail for result in results]
    assert (details[1], details[2], details[4]) == ("SIGKILL", "it is damaged", "status 0")
    assert "KeyError: 'missing'" in details[10]
    assert (results[12].printed, results[13].printed) == ("said", "")
    assert results[6].peak > LIMIT > results[5].peak


def test_trouble_of_a_case_that_ends_after_all_is_not_blamed_on_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()

    def end_when_the_next_has_begun(child: supervisor.Child) -> int:
        os.read(reading, 1)
        return end(child)

    def say_that_it_has_begun() -> None:
        os.write(writing, b"!")
        time.sleep(0.3)

    end = supervisor.end_child
    monkeypatch.setattr(supervisor, "end_child", end_when_the_next_has_begun)
    cases = [
        Case("slow", "kind", lambda: time.sleep(0.3), lambda folder: None, 0.1),
        Case("next", "kind", say_that_it_has_begun, lambda folder: None, 30),
    ]
    results = list(run_cases(cases, stated=ValueError, memory=LIMIT))
    assert [(result.case, result.outcome) for result in results] == [(c, READ) for c in cases]
    os.close(reading)
    os.close(writing)


def test_no_cases() -> None:
    assert run([]) == []


def run(actions: list[Callable[[], object]]) -> list[Result]:
    cases = [
        Case(str(number), "kind", action, lambda folder: None, 0.5 if action is wait else 30)
        for number, action in enumerate(actions)
    ]
    results = list(run_cases(cases, stated=ValueError, memory=LIMIT, workers=2))
    return sorted(results, key=lambda result: cases.index(result.case))


def wait() -> None:
    time.sleep(60)


def refuse() -> None:
    raise ValueError("it is damaged")


def read_other_values() -> None:
    raise OtherValues("1 was read as 2")


def run_out_of_memory() -> None:
    raise MemoryError


def fill_memory_and_wait(num_bytes: int) -> None:
    values = np.ones(num_bytes, np.uint8)
    time.sleep(60)
    del values
