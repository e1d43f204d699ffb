"""Running the program inside the test's process, as its own process would run it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from featx.cli.app import main


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


class Program:
    """Calls `featx` with arguments and returns status, stdout and stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["featx", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out, captured.err)
