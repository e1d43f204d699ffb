"""What only a process of its own shows: start-up, imports, silence, exit statuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featx.testing import write_images
from tests.cli.program import Program
from tests.store_samples import write_sample

HEAVY = (
    "tensorflow", "keras", "faiss", "h5py", "numpy", "sklearn", "PIL", "importlib.metadata",
    "rich.console", "featx.inference.accelerated", "featx.images.decode", "openvino.tools.ovc",
)  # fmt: skip


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-m", "featx", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def imported_by(code: str) -> set[str]:
    probe = f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(eval(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["extract", "--help"], ["search", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import contextlib, io\nfrom featx.cli.app import main\n"
        f"sys.argv = ['featx', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()"
    )
    assert imported_by(code) == set()


def test_importing_featx_imports_nothing_heavy() -> None:
    assert imported_by("import featx") == set()


def test_the_program_imports_openvino_without_its_converter() -> None:
    code = (
        "from featx.engines.openvino_model import get_core\nfrom featx.host import own_process\n"
        "with own_process(): get_core()\nassert 'openvino' in sys.modules"
    )
    assert "openvino.tools.ovc" not in imported_by(code)


def test_a_search_by_key_imports_nothing_that_only_pictures_need(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.eye(3, dtype=np.float32)})
    code = (
        "import contextlib, io\nfrom featx.cli.app import main\n"
        f"sys.argv = ['featx', 'search', '--features', {str(tmp_path / 'f.h5')!r}, "
        "'--key', 'image_1.png', '-f']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()"
    )
    assert imported_by(code) == {"faiss", "h5py", "numpy"}


@pytest.fixture(scope="module")
def toy_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and a small Keras network that brings its own preprocessing."""
    import keras

    folder = tmp_path_factory.mktemp("chain")
    write_images(12, folder / "photos", classes=("dark", "light"), size=(40, 30))
    images = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255, name="scale")(images)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    keras.Model(images, keras.layers.GlobalAveragePooling2D(name="gap")(x)).save(folder / "n.keras")
    return folder


@pytest.fixture(scope="module")
def extracted(toy_chain: Path) -> subprocess.CompletedProcess[str]:
    """The process that wrote the store of the folder."""
    return run("extract", "photos", "-m", "n.keras", "--layer", "gap", cwd=toy_chain)


@pytest.mark.tensorflow
def test_finding_that_nothing_is_to_do_imports_neither_engines_nor_decoders(
    toy_chain: Path, extracted: subprocess.CompletedProcess[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert extracted.returncode == 0, extracted.stderr
    monkeypatch.chdir(toy_chain)
    code = (
        "import contextlib, io\nfrom featx.cli.app import main\n"
        "sys.argv = 'featx extract photos -m n.keras --layer gap'.split()\n"
        "with contextlib.redirect_stdout(io.StringIO()) as told:\n"
        "    with contextlib.suppress(SystemExit): main()\n"
        "assert '(0 computed, 12 already there)' in told.getvalue()"
    )
    assert imported_by(code) == {"h5py", "numpy"}


def without_engines(told: str) -> list[str]:
    """Return what a command said, but not of engines: they are compared in the run that converts
    the model, and which one that is depends on how long the ones before it took."""
    return [line for line in told.splitlines() if not line.startswith(("engine ", "comparing e"))]


@pytest.mark.tensorflow
def test_the_chain_as_processes_is_quiet(
    toy_chain: Path,
    extracted: subprocess.CompletedProcess[str],
    featx: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert extracted.returncode == 0, extracted.stderr
    notes = extracted.stderr.splitlines()
    assert len(notes) == 3, extracted.stderr  # For 12 images, no engine is compared with another.
    assert extracted.stderr.startswith("12 images in")
    monkeypatch.chdir(toy_chain)
    for command in ("info", "fit-head", "index"):  # Without TensorFlow: see the next test.
        result = featx(command)
        assert result.status == 0, result.err
    predicted = featx("predict", "photos", "--json", "-k", "1")
    assert predicted.status == 0
    told = without_engines(predicted.err)
    assert len(told) == 1, predicted.err
    assert "fitted on all 12 images" in told[0]
    assert len(predicted.out.splitlines()) == 12
    found = run("search", "photos/light/image_1.png", "--json", cwd=toy_chain)
    assert without_engines(found.stderr) == []
    best = json.loads(found.stdout.splitlines()[0])
    assert (best["key"], best["rank"]) == ("light/image_1.png", 1)


@pytest.mark.tensorflow
def test_readers_of_the_cache_never_import_tensorflow(
    toy_chain: Path, extracted: subprocess.CompletedProcess[str]
) -> None:
    assert extracted.returncode == 0, extracted.stderr
    calls = (
        "featx.open_store('features.h5').table()",
        "featx.build_index('features.h5', output='i.faiss')",
        "featx.export_store('features.h5', 'board')",
        "featx.search(keys=['dark/image_0.png'], features='features.h5')",
        "featx.extract('photos', model='n.keras', layers=['gap'])",
    )
    lines = [f"import os, featx\nos.chdir({str(toy_chain)!r})"]
    for call in calls:  # In one process: what one of them has imported is named with it.
        lines += [call, f"assert not {{'tensorflow', 'keras'}} & set(sys.modules), {call!r}"]
    imported_by("\n".join(lines))


def test_a_closed_pipe_is_no_error() -> None:
    for command in ("extract --help | head -1", "models --json | true"):
        result = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {sys.executable} -m featx {command}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")


def slow_extraction(folder: Path) -> str:
    """Return the code of `featx extract photos` in a folder, with 0.05 s for each two pictures."""
    return (
        "import sys, time, featx.testing.toy as toy\nfrom featx.cli.app import main\n"
        "toy.register_toy_model()\ncall = toy.ToyBackbone.__call__\n"
        "toy.ToyBackbone.__call__ = lambda *a: (time.sleep(0.05), call(*a))[1]\n"
        f"sys.argv = ['featx', 'extract', {str(folder / 'photos')!r}, '-m', 'toy:colors', "
        f"'--layer', 'mean', '-b', '2', '-o', {str(folder / 'f.h5')!r}]\nmain()"
    )


def test_progress_is_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    import pty

    write_images(30, tmp_path / "photos")
    code = slow_extraction(tmp_path)
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=follower, stdout=subprocess.DEVNULL
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            block = os.read(leader, 4096)
        except OSError:  # The other side has closed.
            break
        if not block:
            break
        shown += block
    os.close(leader)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8", "replace"))
    assert "/30 images" in text
    assert "/s" in text


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to catch")
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow)])
def test_a_request_to_end_keeps_what_was_computed(tmp_path: Path, name: str) -> None:
    """As batch systems and containers send it, and terminals that are closed."""
    write_images(200, tmp_path / "photos")
    (tmp_path / "photos" / "image_50_broken.png").write_bytes(b"")
    lines = []
    with subprocess.Popen(
        [sys.executable, "-c", slow_extraction(tmp_path)], cwd=tmp_path, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.decode())
            if "image_50_broken" in lines[-1]:  # What comes before it is computed.
                process.send_signal(getattr(signal, name))
        assert process.wait(60) == 130, "".join(lines)
    assert "the same command goes on from there" in "".join(lines)


def test_an_interruption_while_the_program_is_imported_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "featx", "info"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (130, "featx: interrupted\n")
