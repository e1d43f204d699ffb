"""What a call from Python shows to a person, and that nobody else sees anything."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import featx
from featx import events, host
from featx.extraction import ExtractReport
from featx.report import library_listener
from featx.report.library_listener import LibraryListener, LogListener, NotebookListener
from featx.testing import write_images


class Told(featx.Listener):
    """Takes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def failure(self, path: str, reason: str) -> None:
        self.lines.append(f"{path}: {reason}")

    def start(self, total: int, what: str) -> None:
        self.lines.append(f"start {total} {what}")

    def advance(self, count: int) -> None:
        self.lines.append(f"+{count}")

    def trying(self, what: str) -> None:
        self.lines.append(what)

    def finish(self) -> None:
        self.lines.append("finish")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_listener, "LEAST_SECONDS", 0.0)


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let stderr be a terminal; in the test itself, since pytest sets stderr before each."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a notebook shows; the process is one for that time."""
    ipython = pytest.importorskip("IPython.display")
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, content: dict[str, str], raw: bool) -> None:
            shown.append(content)

    def display(content: dict[str, str], raw: bool, display_id: bool | None) -> Handle:
        shown.append(content)
        return Handle()

    monkeypatch.setattr(ipython, "display", display)
    monkeypatch.setattr(library_listener, "UPDATE_SECONDS", 0.0)
    for module in (host, library_listener):
        monkeypatch.setattr(module, "is_notebook", lambda: True)
    return shown


def run_stage(listener: featx.Listener, count: int = 4) -> None:
    listener.start(count, "images")
    for _ in range(count):
        listener.advance(1)
    listener.finish()


def test_a_short_stage_has_no_bar_and_a_long_one_begins_with_what_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0, 0.1, 0.2, 0.0, 0.3, 0.9])
    clock = SimpleNamespace(monotonic=lambda: next(times))  # Not of other modules and threads.
    monkeypatch.setattr(library_listener, "time", clock)
    told = Told()
    listener = LibraryListener(told, progress=True, verbose=True)
    run_stage(listener, 2)
    assert told.lines == []
    run_stage(listener, 2)
    assert told.lines == ["start 2 images", "+2", "finish"]


@pytest.mark.usefixtures("at_once")
def test_bars_and_notes_are_wanted_each_for_itself() -> None:
    for progress, verbose in ((True, False), (False, True)):
        told = Told()
        listener = LibraryListener(told, progress=progress, verbose=verbose)
        listener.note("a note")
        listener.failure("a.jpg", "damaged")
        run_stage(listener, 1)
        listener.trying("C = 0.1")
        listener.finish()
        bar = ["start 1 images", "+1", "finish", "C = 0.1", "finish"]
        notes = ["a note", "a.jpg: damaged"]
        assert told.lines == (bar if progress else notes)


@pytest.mark.usefixtures("at_once")
def test_what_is_tried_leaves_its_place_to_a_stage() -> None:
    told = Told()
    listener = LibraryListener(told, progress=True, verbose=True)
    listener.trying("C = 0.1")
    listener.start(2, "images")
    listener.trying("C = 0.2")
    listener.advance(1)
    listener.finish()
    assert told.lines == ["C = 0.1", "finish", "start 2 images", "+1", "finish"]


def test_of_many_failures_the_first_are_shown() -> None:
    told = Told()
    listener = LibraryListener(told, progress=True, verbose=True)
    for number in range(1000):
        listener.failure(f"{number}.jpg", "damaged")
    assert len(told.lines) == library_listener.MOST_FAILURES + 1
    assert "`failures`" in told.lines[-1]


@pytest.mark.usefixtures("at_once")
def test_a_notebook_shows_quiet_lines_and_a_bar_that_goes(
    displayed: list[dict[str, str]],
) -> None:
    listener = LibraryListener(NotebookListener(), progress=True, verbose=True)
    listener.note(f"<b>\x1b[31m in '{Path.cwd() / 'photos'}'")
    assert displayed[0]["text/plain"] == "<b>\\x1b[31m in 'photos'"
    assert "&lt;b&gt;" in displayed[0]["text/html"]
    run_stage(listener)
    assert "1 of 4 images" in displayed[2]["text/plain"]
    assert 'value="0.5000"' in displayed[3]["text/html"]
    assert displayed[-1] == {"text/plain": "", "text/html": ""}
    listener.trying("C = 0.1")
    listener.finish()
    assert [content["text/plain"] for content in displayed[-2:]] == ["C = 0.1", ""]


def test_a_log_has_a_line_at_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage(LogListener(), 200)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (10, "20 of 200 images", "200 of 200 images")


@pytest.mark.usefixtures("at_once")
def test_a_call_on_a_terminal_shows_a_bar_and_notes_unless_told_otherwise(
    run: Callable[..., ExtractReport], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal(monkeypatch)
    write_images(3, photos)
    (photos / "bad.png").write_bytes(b"no picture")
    run()
    assert "4/4" in terminal.getvalue()
    assert "bad.png: " in terminal.getvalue()
    for options in ({"progress": False, "verbose": False}, {"listener": featx.Listener()}):
        terminal.truncate(0)
        run(overwrite=True, **options)
        assert terminal.getvalue() == ""


def test_a_call_that_nobody_watches_shows_nothing(
    run: Callable[..., ExtractReport],
    photos: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_images(3, photos)
    run()
    assert capfd.readouterr() == ("", "")
    run(overwrite=True, progress=True, batch_size=1)
    assert capfd.readouterr().err == ""  # It took less than a moment.


def test_threads_and_the_command_line_show_nothing_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_terminal(monkeypatch)
    kinds: list[type[Any]] = []

    def choose() -> None:
        kinds.append(type(events.choose_listener(None)))

    thread = threading.Thread(target=choose)
    thread.start()
    thread.join()
    with host.own_process():
        choose()
    choose()
    assert kinds == [featx.Listener, featx.Listener, LibraryListener]
