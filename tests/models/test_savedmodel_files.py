"""The files of a SavedModel: packed into a zip archive, missing, or cut off."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.errors import ModelError
from featx.models import load_model
from featx.models.loading import restore_model
from featx.models.savedmodel_archive import unpacked
from featx.models.savedmodel_damage import is_complete
from featx.options import InputOptions
from featx.user_cache import user_cache_folder
from tests.models.model_files import write_tf1_module

RAW = InputOptions(preprocess="raw")
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with one variable."""
    import tensorflow as tf

    folder, module = tmp_path_factory.mktemp("models") / "exported", tf.Module()
    module.scale = tf.Variable([0.5, 2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def run(images: Any) -> Any:
        return {"mean": tf.reduce_mean(images, [1, 2]) * module.scale}

    tf.saved_model.save(module, str(folder), signatures=run)
    return folder


def pack(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


@pytest.mark.tensorflow
@pytest.mark.parametrize("prefix", ["", "net/model.savedmodel/"])
def test_an_archive_is_the_model_in_it(model: Path, tmp_path: Path, prefix: str) -> None:
    path = pack(model, tmp_path / "net.zip", prefix)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{prefix}../labels.txt" if not prefix else "net/labels.txt", "0 a\n")
        archive.writestr(f"__MACOSX/{prefix}saved_model.pb", b"resource fork")
    backbone, expected = load_model(str(path), input=RAW), load_model(str(model), input=RAW)
    assert backbone.spec.fingerprint == expected.spec.fingerprint
    assert (backbone.spec.name, backbone.spec.location) == ("net.zip", str(path))
    np.testing.assert_array_equal(
        backbone(PIXELS, ["mean"])["mean"], expected(PIXELS, ["mean"])["mean"]
    )
    assert restore_model(backbone.spec).spec.identity() == expected.spec.identity()


@pytest.mark.tensorflow
def test_an_archive_of_a_hub_module(tmp_path: Path) -> None:
    module = write_tf1_module(tmp_path / "module")
    (module / "tfhub_module.pb").touch()
    path = pack(module, tmp_path / "module.zip", "module/")
    for reference in (str(path), f"hub:{path}"):
        spec = load_model(reference).spec
        assert (spec.source, spec.name, spec.input.scaling) == ("hub", "module.zip", "unit")
        assert restore_model(spec).spec.fingerprint == load_model(f"hub:{module}").spec.fingerprint


@pytest.mark.tensorflow
def test_an_archive_is_judged_as_strictly_as_a_folder(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def run(images: Any) -> Any:
        tf.io.write_file("written", "text")
        return tf.reduce_mean(images, [1, 2])

    tf.saved_model.save(module, str(tmp_path / "bad"), signatures=run)
    path = pack(tmp_path / "bad", tmp_path / "bad.zip")
    with pytest.raises(ModelError, match="WriteFile"):
        load_model(str(path), input=RAW)


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_only_the_files_of_a_savedmodel_are_unpacked_and_only_once(tmp_path: Path) -> None:
    members = {
        "a/saved_model.pb": b"graph",
        "a\\variables\\variables.index": b"index",
        "a/run.py": b"import os",
        "b/variables/other": b"",
        "../saved.txt": b"",
    }
    path = write_archive(tmp_path / "net.zip", members)
    folder = unpacked(path)
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert found == {"saved_model.pb", "variables/variables.index"}
    graph = folder / "saved_model.pb"
    before = graph.stat().st_ino
    assert unpacked(path) == folder
    assert graph.stat().st_ino == before
    graph.write_bytes(b"grbph")  # Damaged: unpacked again.
    assert unpacked(path) == folder
    assert graph.read_bytes() == b"graph"
    assert [each.name for each in folder.parent.glob("*.tmp")] == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"saved_model.pb": b"", "assets/../../x": b""}, "leads outside of its folder"),
        ({"saved_model.pb": b"", "assets/c:/x": b""}, "leads outside of its folder"),
        ({"a/saved_model.pb": b"", "b/saved_model.pb": b""}, r"2 SavedModels \(in a/ and b/\)"),
        ({"a.jpg": b""}, r"no SavedModel \(no saved_model\.pb\).*Unpack it"),
        ({"saved_model.pb": b"", "variables/x": bytes(70 << 20)}, "would unpack from"),
    ],
)
def test_archives_that_are_not_unpacked(
    tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    with pytest.raises(ModelError, match=rf"^'net\.zip' (is refused|holds).*{message}"):
        unpacked(write_archive(tmp_path / "net.zip", members))
    assert not (user_cache_folder() / "x").exists()


def test_links_and_damage_in_archives(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "net.zip", {"saved_model.pb": b"graph" * 100})
    content = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("variables/variables.index")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ModelError, match=r"'variables/variables\.index' in it is a link"):
        unpacked(path)
    path.write_bytes(content[:-10])
    with pytest.raises(ModelError, match="not a zip archive that can be read.*Download it again"):
        unpacked(path)
    path.write_bytes(content[:45] + b"\0\0" + content[47:])
    with pytest.raises(ModelError, match="not a zip archive that can be read.*Download it again"):
        unpacked(path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DATA, INDEX = "variables/variables.data-00000-of-00001", "variables/variables.index"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no data": (
        lambda f: (f / DATA).unlink(),
        r"not all there \(variables/variables\.data",
    ),
    "no index": (lambda f: (f / INDEX).unlink(), rf"weights are not all there \({INDEX} missing"),
    "nothing": (lambda f: shutil.rmtree(f / "variables"), rf"not all there \({INDEX}, variables/"),
    "cut data": (lambda f: _cut(f / DATA), "weights, in the folder 'variables', are damaged or cu"),
    "cut index": (lambda f: _cut(f / INDEX), "weights, in the folder 'variables', are damaged or"),
    "cut graph": (lambda f: _cut(f / "saved_model.pb"), r"saved_model\.pb, is damaged or cut off"),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_missing_or_cut_off(model: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(model, tmp_path / "net")
    destroy, message = DAMAGES[damage]
    destroy(tmp_path / "net")
    with pytest.raises(
        ModelError, match=rf"^TensorFlow cannot load.*{message}.*whole folder[^\n]*$"
    ):
        load_model(str(tmp_path / "net"), input=RAW)


@pytest.mark.tensorflow
def test_lost_weights_of_tensorflow_1(tmp_path: Path) -> None:
    folder = write_tf1_module(tmp_path / "module")
    _cut(folder / DATA)
    with pytest.raises(ModelError, match="weights, in the folder 'variables', are damaged"):
        load_model(f"hub:{folder}")
    (folder / DATA).unlink()
    with pytest.raises(ModelError, match=r"not all there \(variables/variables\.data-\* missing\)"):
        load_model(f"hub:{folder}")


def test_all_parts_of_the_weights_are_needed(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").touch()
    assert is_complete(tmp_path)  # A graph without variables.
    (tmp_path / "variables/variables.index").touch()
    assert not is_complete(tmp_path)
    for number in range(2):
        (tmp_path / f"variables/variables.data-0000{number}-of-00002").touch()
        assert is_complete(tmp_path) == (number == 1)
