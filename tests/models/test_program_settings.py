"""A model is what its files say, whatever the program that calls featx has set."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.models import load_model
from featx.models.keras_settings import build_apart, default_settings
from featx.user_cache import CACHE_VARIABLE
from tests.models.model_files import SOURCES
from tests.models.program_settings import (
    ENGINES,
    SETTINGS,
    Program,
    compute,
    references,
    write_models,
    write_sensitive,
)

pytestmark = pytest.mark.tensorflow

REFUSED = {"not eager", "TensorFlow 1", "shapes of TensorFlow 1"}
"""Settings that featx cannot escape; it says so."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


def settings_of(program: Program) -> tuple[Any, ...]:
    config = program.keras.config
    values = (config.floatx(), config.image_data_format(), config.epsilon())
    return *values, config.dtype_policy().name


@pytest.fixture
def program() -> Iterator[Program]:
    """A program with settings of its own, which are put back afterwards."""
    with contextlib.ExitStack() as scopes:
        it = Program(scopes)
        config = it.keras.config
        for setting in ("floatx", "image_data_format", "epsilon", "dtype_policy"):
            scopes.callback(getattr(config, f"set_{setting}"), getattr(config, setting)())
        yield it


def test_settings_of_the_program_neither_matter_nor_change(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sensitive(tmp_path)
    SOURCES["savedmodel"](tmp_path)
    models = [references(tmp_path)[name] for name in ("builtin", "sensitive", "savedmodel")]
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "clean"))
    expected = [compute(*model, "tensorflow") for model in models]
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    for name in ("float16", "channels first", "epsilon", "policy bfloat16"):
        SETTINGS[name](program)
    SETTINGS["in a graph"](program)
    SETTINGS["in a strategy"](program)
    before = settings_of(program)
    for model, wanted in zip(models, expected, strict=True):
        received = compute(*model, "tensorflow")
        for key, values in wanted.items():
            np.testing.assert_array_equal(received[key], values, err_msg=f"{model}: {key}")
    assert settings_of(program) == before
    assert before == ("float16", "channels_first", 0.1, "mixed_bfloat16")


def test_several_threads_hold_settings_at_their_defaults(program: Program) -> None:
    config = program.keras.config
    config.set_floatx("bfloat16")
    started = threading.Barrier(8)

    def read(number: int) -> str:
        with default_settings():
            started.wait(10)
            values = [config.floatx()]
            if number % 2:
                with default_settings():
                    values.append(config.floatx())
        return ",".join(values)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = list(pool.map(read, range(8)))
            assert found == ["float32", "float32,float32"] * 4
            assert config.floatx() == "bfloat16"


def test_a_setting_that_is_changed_meanwhile_stays_and_nothing_is_believed(
    program: Program,
) -> None:
    config = program.keras.config
    with (
        pytest.raises(ModelError, match=r"keras.config.set_floatx was changed by another thread"),
        default_settings(),
    ):
        config.set_floatx("float64")
    assert config.floatx() == "float64"


def test_loading_leaves_the_thread_without_a_policy_of_its_own(program: Program) -> None:
    """Keras takes the first policy that is read for the one to keep."""

    def policy_after_loading() -> str:
        load_model("builtin:mini")(np.zeros((1, 128, 128, 3), np.uint8), ["block1_pool"])
        program.keras.config.set_floatx("float16")
        return str(program.keras.config.dtype_policy().name)

    with ThreadPoolExecutor(1) as pool:  # In a thread that has read no policy before.
        assert pool.submit(policy_after_loading).result() == "float16"


def test_errors_and_results_come_out_of_the_thread() -> None:
    def fail() -> None:
        raise ModelError("no such file")

    with pytest.raises(ModelError, match="no such file"):
        build_apart(fail)
    assert build_apart(lambda: build_apart(lambda: 3)) == 3
    assert build_apart(threading.get_ident) != threading.get_ident()


def test_without_eager_execution_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_tensorflow(), "executing_eagerly", lambda: False)
    with pytest.raises(ModelError, match="needs TensorFlow 2 as it is"):
        build_apart(lambda: None)


def run_program(setting: str, folder: Path, cache: Path, *engines: str) -> dict[str, np.ndarray]:
    """Compute every model in a process that has set something."""
    result = cache.with_suffix(".npz")
    command = [sys.executable, "-m", "tests.models.program_settings"]
    subprocess.run(
        [*command, setting, str(folder), str(result), *engines],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, CACHE_VARIABLE: str(cache)},
    )
    with np.load(result) as found:
        return dict(found)


@pytest.fixture(scope="module")
def clean(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    found = run_program("", folder, tmp_path_factory.mktemp("clean") / "cache")
    assert not [key for key in found if key.endswith("refused")]
    assert len(found) == len(references(folder)) * len(ENGINES) * 2
    return found


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_program_and_a_clean_one_after_it(
    setting: str, folder: Path, tmp_path: Path, clean: dict[str, np.ndarray]
) -> None:
    found = run_program(setting, folder, tmp_path / "cache")
    refused = {key for key in found if key.endswith("refused")}
    assert bool(refused) == (setting in REFUSED), [found[key] for key in refused]
    for key in found.keys() - refused:
        # How TensorFlow optimises graphs decides the last bits, here and not in the cache.
        bound = 1e-6 * clean[key].max() if setting == "graphs not optimised" else 0
        np.testing.assert_allclose(found[key], clean[key], rtol=0, atol=bound, err_msg=key)
    afterwards = run_program("", folder, tmp_path / "cache", "openvino")
    for key, values in afterwards.items():
        np.testing.assert_array_equal(values, clean[key], err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "package", "call"),
    [
        ("tensorflow", "keras", "find_registered({'class_name': 'Dense'})"),
        ("keras", "tf_keras", "default_settings().__enter__()"),
    ],
)
def test_a_keras_that_another_thread_is_importing_is_waited_for(
    before: str, package: str, call: str
) -> None:
    program = f"""
import importlib, sys, threading
import {before}
from featx.models.keras_settings import default_settings
from featx.models.model_code import find_registered
threading.Thread(target=importlib.import_module, args=["{package}"]).start()
while "{package}" not in sys.modules:
    pass
{call}
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_another_backend_is_for_the_program_not_for_featx(backend: str, tmp_path: Path) -> None:
    import keras

    images = keras.Input((8, 8, 3))
    scaled = keras.layers.Rescaling(1 / 255)(images)
    mean = keras.layers.GlobalAveragePooling2D()(scaled)
    keras.Model(images, mean).save(tmp_path / "net.keras")
    program = (
        "import featx, numpy, os\n"
        "pictures = numpy.full((2, 8, 8, 3), 255, numpy.uint8)\n"
        "assert featx.embed(pictures, 'net.keras').tolist() == [[1.0] * 3] * 2\n"
        f"assert os.environ['KERAS_BACKEND'] == {backend!r}\n"
    )
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(sys.path),
        CACHE_VARIABLE: str(tmp_path / "cache"),
    }
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=environment)


def test_a_program_that_has_imported_keras_with_another_backend_is_told_what_to_do(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program.keras.backend, "backend", lambda: "torch")
    with pytest.raises(ModelError, match=r"'torch'.*Set KERAS_BACKEND=tensorflow"):
        import_tensorflow()
