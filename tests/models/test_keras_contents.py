"""What is refused in a Keras file before Keras reads it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from featx.errors import ModelError
from featx.models.keras_contents import refuse_data_elsewhere
from featx.models.keras_format import read_keras_file
from featx.models.model_code import find_code

SHAPE = (3, 4)


def write_weights(file: h5py.File) -> None:
    file["layers/conv/vars/0"] = np.ones(SHAPE, np.float32)


def store_elsewhere(file: h5py.File) -> None:
    file.create_dataset("layers/conv/vars/0", SHAPE, "f4", external=[("/etc/passwd", 0, 48)])


def link_elsewhere(file: h5py.File) -> None:
    file["layers/conv/vars"] = h5py.ExternalLink("other.h5", "/vars")


def view_elsewhere(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource("other.h5", "x", SHAPE, "f4")
    file.create_virtual_dataset("layers/conv/vars/0", layout)


def nest_endlessly(file: h5py.File) -> None:
    write_weights(file)
    file["layers/conv/layers"] = file["/"]


def write(path: Path, fill: Callable[[h5py.File], None]) -> Path:
    """Write a file of weights, by itself or in an archive."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    if path.suffix == ".h5":
        path.write_bytes(content.getvalue())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", content.getvalue())
    return path


def claim_more(file: h5py.File) -> None:
    file.create_dataset("layers/conv/vars/0", (1 << 20, 1 << 20), "f4", chunks=(1, 1 << 10))


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (store_elsewhere, "'layers/conv/vars/0' is stored in another file"),
        (claim_more, "'layers/conv/vars/0' would have 4194304 MB, most of which are not stored"),
        (link_elsewhere, "'layers/conv/vars' is a link to another file"),
        (view_elsewhere, "'layers/conv/vars/0' is a view of other data"),
    ],
)
def test_weights_in_other_files_are_refused(
    tmp_path: Path, name: str, fill: Callable[[h5py.File], None], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        refuse_data_elsewhere(write(tmp_path / name, fill))


@pytest.mark.parametrize("name", ["NET.KERAS", "net.h5", "net"])
@pytest.mark.parametrize("form", ["net.keras", "net.h5"])
def test_a_file_is_searched_whatever_it_is_called(tmp_path: Path, form: str, name: str) -> None:
    path = write(tmp_path / form, store_elsewhere).rename(tmp_path / name)
    with pytest.raises(ModelError, match="is stored in another file"):
        refuse_data_elsewhere(path)


def test_nothing_hides_behind_damage(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        file["a"] = np.ones(SHAPE, np.float32)
        file["b"] = h5py.ExternalLink("other.h5", "/vars")

    path = write(tmp_path / "net.h5", fill)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        header = h5py.h5o.get_info(file["a"].id).addr
    content[header : header + 16] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(ModelError, match="'net.h5' are damaged"):
        refuse_data_elsewhere(path)


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize("fill", [write_weights, nest_endlessly])
def test_weights_inside_are_taken(
    tmp_path: Path, name: str, fill: Callable[[h5py.File], None]
) -> None:
    refuse_data_elsewhere(write(tmp_path / name, fill))


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "model.weights.h5"])
def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, member: str) -> None:
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("config.json" if member != "config.json" else "other", "{}")
        with archive.open(member, "w") as content:
            for _ in range(80):
                content.write(bytes(1 << 20))
    with pytest.raises(ModelError, match=f"'{member}' in it would unpack from"):
        read_keras_file(path)


@pytest.mark.parametrize("module", ["keras.utils", "keras.src.utils.file_utils", "keras.saving"])
def test_functions_of_keras_that_do_more_than_compute_are_named(module: str) -> None:
    layer = {"class_name": "function", "module": module, "config": "get_file"}
    config = json.loads(json.dumps({"layers": [{"config": {"activation": layer}}]}))
    assert find_code(config) == {
        f"the function 'get_file' of the module '{module}'": (module, "get_file")
    }


@pytest.mark.parametrize("module", ["keras.activations", "keras.src.ops.nn", "keras.ops"])
def test_functions_of_keras_that_compute_are_taken(module: str) -> None:
    assert find_code({"class_name": "function", "module": module, "config": "relu"}) == {}
