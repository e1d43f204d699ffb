"""The page on exported heads does what it says: its blocks are run, in its order."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from tests.cli.program import Program
from tests.deploy.pictures import write_noise
from tests.doc_pages import DOCS, Block, find_blocks

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SIZE = 128
"""Of the network, as in the page."""


@pytest.fixture(scope="module")
def blocks() -> Iterator[Block]:
    """Return the blocks of the page that its own test leaves out, one after the other."""
    found = find_blocks(DOCS / "how-to" / "export-heads.md")
    return iter([block for block in found if block.reason is not None])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a head, its photographs, and one of them as query.jpg."""
    folder = tmp_path_factory.mktemp("page")
    write_noise(folder / "photos")
    picture = next((folder / "photos").rglob("*.png"))
    Image.open(picture).convert("RGB").save(folder / "query.jpg", quality=95)
    network, store = write_network(folder / "net.keras"), folder / "f.h5"
    featx.extract(folder / "photos", model=network, layers=["embedding"], output=store)
    featx.fit_head(store, output=folder / "head", kind="linear")
    return folder


def write_network(path: Path) -> Path:
    import keras

    from featx.models.keras_settings import build_apart

    def build() -> Any:
        pixels = keras.Input((SIZE, SIZE, 3))
        values = keras.layers.Rescaling(1 / 255)(pixels)
        # No channel is nearly constant, whose scale would take up the steps of int8.
        values = keras.layers.Conv2D(8, 5, strides=4)(values)
        vectors = keras.layers.GlobalAveragePooling2D()(values)
        return keras.Model(pixels, keras.layers.Dense(6, name="embedding")(vectors))

    build_apart(build).save(path)
    return path


def test_the_page_on_exports_is_run(
    folder: Path,
    blocks: Iterator[Block],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tf2onnx")
    monkeypatch.chdir(folder)
    featx_ = Program(monkeypatch, capfd)
    expected = featx.predict("query.jpg", head="head", top=2).predictions[0]
    by_class = dict(zip(expected.classes, expected.probabilities, strict=True))
    probabilities = [by_class[name] for name in featx.load_head("head").classes]

    run_commands(next(blocks).text, featx_)

    served = answer(next(blocks).text, folder / "served/flowers/1")
    assert served["label"] == expected.classes[0]
    np.testing.assert_allclose(served["probabilities"], probabilities, atol=1e-5)

    names: dict[str, Any] = {}
    for tolerance in (0.1, 1e-4):  # Of the int8 file for LiteRT, and of ONNX.
        exec(next(blocks).text, names)
        printed = capfd.readouterr().out.strip()
        np.testing.assert_allclose(
            np.array(printed.strip("[]").split(), float), probabilities, atol=tolerance
        )

    again = run_commands(next(blocks).text, featx_)
    assert "query.jpg" not in again
    with featx.open_store("again.h5") as store:
        assert len(store) == 12
    assert next(blocks, None) is None


def run_commands(text: str, program: Program) -> str:
    """Run lines of the page that call featx; return what they print."""
    printed = []
    for line in text.strip().splitlines():
        name, *arguments = shlex.split(line)
        assert name == "featx"
        if "-m" in arguments and "--labels" in arguments:
            assert Path(arguments[arguments.index("--labels") + 1]).is_file()
        outcome = program(*arguments)
        assert outcome.status == 0, outcome.err
        printed.append(outcome.out)
    return "".join(printed)


def answer(text: str, model: Path) -> dict[str, Any]:
    """Send the page's request to a SavedModel, read as TensorFlow Serving reads it.

    In `json_tensor.cc` of its sources, an instance that is an object with the one key ``b64`` is
    bytes, and a signature with one input needs no name for it.
    """
    import tensorflow

    assert shutil.which("bash")
    echo = text[text.index("echo") : text.rindex("|")]
    sent = json.loads(subprocess.run(["bash", "-c", echo], capture_output=True, check=True).stdout)
    assert f"/models/{model.parent.name}" in text
    assert ":predict\n" in text
    signature = tensorflow.saved_model.load(model).signatures[sent["signature_name"]]
    ((name, spec),) = signature.structured_input_signature[1].items()
    instances = [base64.b64decode(one["b64"], validate=True) for one in sent["instances"]]
    outputs = signature(**{name: tensorflow.constant(instances, spec.dtype)})
    # A row for each instance can only be made where all outputs have as many.
    assert {len(values) for values in outputs.values()} == {len(instances)}
    rows = {key: values.numpy()[0] for key, values in outputs.items()}
    return {key: row.decode() if isinstance(row, bytes) else row for key, row in rows.items()}
