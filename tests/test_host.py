"""What belongs to the program: untouched in library calls, put back where it cannot be helped."""

from __future__ import annotations

import gc
import logging
import os
import random
import re
import subprocess
import sys
import threading
import time

import pytest

from featx.host import (
    environment,
    importing_without,
    is_watched,
    own_process,
    printing_to_stderr,
    quiet_loggers,
    stderr_without,
)
from featx.models import load_model
from tests.models.small_application import replace_mobilenet


def test_variables_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATX_TEST_SET", "before")
    monkeypatch.delenv("FEATX_TEST_NEW", raising=False)
    monkeypatch.delenv("FEATX_TEST_FOREIGN", raising=False)
    before = dict(os.environ)
    variables = {"FEATX_TEST_SET": "during", "FEATX_TEST_NEW": "during"}
    with environment(variables, ["FEATX_TEST_FOREIGN"]):
        assert variables.items() <= os.environ.items()
        os.environ["FEATX_TEST_FOREIGN"] = "1"
    assert dict(os.environ) == before


def test_a_logger_is_quiet_for_one_thread_only(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("featx.test")
    with quiet_loggers("featx.test"):
        logger.warning("mine")
        logger.error("my error")
        other = threading.Thread(target=logger.warning, args=("of another thread",))
        other.start()
        other.join()
    logger.warning("later")
    assert caplog.messages == ["my error", "of another thread", "later"]
    assert (logger.filters, logger.level) == ([], logging.NOTSET)


def test_streams_of_other_programs_stay(capfd: pytest.CaptureFixture[str]) -> None:
    descriptor, stream = os.fstat(2), sys.stdout
    with printing_to_stderr(), stderr_without(re.compile(rb"noise")):
        assert sys.stdout is stream
        assert os.path.samestat(os.fstat(2), descriptor)
        print("printed")
        os.write(2, b"noise\n")
    assert capfd.readouterr() == ("printed\n", "noise\n")


def test_the_command_line_keeps_foreign_text_from_its_results(
    capfd: pytest.CaptureFixture[str],
) -> None:
    descriptor = os.fstat(2)
    with own_process(), printing_to_stderr(), stderr_without(re.compile(rb"noise")):
        print("printed")
        os.write(2, b"noise\nsomething else\n")
    assert capfd.readouterr() == ("", "printed\nsomething else\n")
    assert os.path.samestat(os.fstat(2), descriptor)


@pytest.mark.tensorflow
def test_random_numbers_of_a_program_decide_no_weights_and_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_mobilenet(monkeypatch)  # This imports Keras, which draws some itself.
    state, stop = random.getstate(), threading.Event()
    drawn: list[float] = []

    def draw() -> None:
        while not stop.wait(0.001):
            drawn.append(random.random())

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        first, second = (
            load_model("keras:MobileNet,alpha=0.25", weights="random", img_size=(size, size))
            for size in (32, 64)
        )
    finally:
        stop.set()
        thread.join()
    assert first.spec.weights_sha256 == second.spec.weights_sha256
    random.setstate(state)
    assert drawn == [random.random() for _ in drawn]


def test_lines_of_others_pass_while_a_person_is_spared_some(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    descriptor = os.fstat(2)
    monkeypatch.setattr("featx.host.is_watched", lambda: True)
    with stderr_without(re.compile(rb"noise")):
        os.write(2, b"noise 1\nof a thread\n")
        left = subprocess.Popen(
            [sys.executable, "-c", "import sys; input(); sys.stderr.write('noise 2\\nlate\\n')"],
            stdin=subprocess.PIPE,
        )
    assert os.path.samestat(os.fstat(2), descriptor)
    left.communicate(b"\n")
    until = time.monotonic() + 10
    text = capfd.readouterr().err
    while "late" not in text and time.monotonic() < until:
        time.sleep(0.01)
        text += capfd.readouterr().err
    assert text == "of a thread\nlate\n"


def test_two_threads_leave_stderr_where_it_was(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    descriptor = os.fstat(2)
    monkeypatch.setattr("featx.host.is_watched", lambda: True)
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def filter_first() -> None:
        with stderr_without(re.compile(rb"noise")):
            first_is_in.set()
            second_is_in.wait(0.2)  # It waits for this one to be out.
        first_is_out.set()

    def filter_second() -> None:
        first_is_in.wait(5)
        with stderr_without(re.compile(rb"noise")):
            second_is_in.set()
            first_is_out.wait(5)
            os.write(2, b"noise\nsecond\n")

    threads = [threading.Thread(target=each) for each in (filter_first, filter_second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert os.path.samestat(os.fstat(2), descriptor)
    assert capfd.readouterr().err == "second\n"


def test_nobody_watches_a_process_without_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert not is_watched()


def test_an_import_does_without_modules_only_in_a_process_of_its_own() -> None:
    def can_import() -> bool:
        try:
            import wave  # noqa: F401
        except ImportError:
            return False
        return True

    sys.modules.pop("wave", None)
    with own_process(), importing_without(["wave"]):
        assert not can_import()
        assert not gc.isenabled()
    assert gc.isenabled()
    assert can_import()
    sys.modules.pop("wave")
    with importing_without(["wave"]):
        assert can_import()
        assert gc.isenabled()
