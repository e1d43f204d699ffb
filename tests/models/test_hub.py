"""Modules of TensorFlow Hub: how they are called, what they offer, how they are downloaded."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.engines import ENGINES, NetworkSettings
from featx.errors import (
    AmbiguousName,
    DownloadNotAllowed,
    InvalidValue,
    ModelError,
    UnknownName,
)
from featx.models import hub_cache, load_model, restore_model
from featx.models.backbone import Backbone
from featx.models.input_contract import require_scaling
from featx.models.reference import parse_reference
from featx.models.remembered import RememberedBackbone
from featx.models.selection import select_layers
from featx.options import InputOptions
from featx.testing.keras_models import toy_keras_model
from tests.models.model_files import (
    SIZE,
    build_graph,
    kernel,
    write_tf1_module,
    write_tf2_module,
)

pytestmark = pytest.mark.tensorflow

IMAGES = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)


def expected() -> dict[str, np.ndarray]:
    """The two layers by TensorFlow itself, on RGB in [0, 1] as the documents of Hub say."""
    maps, vector = build_graph(IMAGES.astype(np.float32) / 255, kernel())
    return {"maps": maps.numpy(), "vector": vector.numpy()}


def by_name(backbone: Backbone) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    return {t.name: (t.kind, t.shape) for t in backbone.features() if not t.is_detail}


@pytest.fixture(scope="module")
def tf1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tf1_module(tmp_path_factory.mktemp("tf1") / "module")


@pytest.fixture(scope="module")
def tf2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tf2_module(tmp_path_factory.mktemp("tf2") / "module")


def test_a_tf2_module_is_called_for_its_endpoints(tf2: Path) -> None:
    backbone = load_model(f"hub:{tf2}")
    assert by_name(backbone) == {
        "block1/Relu": ("tensor", (8, 8, 4)),
        "pool": ("tensor", (4,)),
        "net/block1": ("endpoint", (8, 8, 4)),
        "default": ("endpoint", (4,)),
    }
    result = backbone(IMAGES, ["net/block1", "default", "block1/Relu"])
    np.testing.assert_allclose(result["net/block1"], expected()["maps"], atol=1e-5)
    np.testing.assert_allclose(result["default"], expected()["vector"], atol=1e-5)
    np.testing.assert_allclose(result["block1/Relu"], expected()["maps"], atol=1e-5)
    assert backbone.default_layer == "default"
    assert backbone.notes == ("called as a function with return_endpoints=True",)
    assert [layer.name for layer in select_layers(["net/*"], backbone.features())] == ["net/block1"]
    assert select_layers(["block1"], backbone.features())[0].name == "net/block1"


def test_a_tf2_module_without_endpoints_is_called_plainly(tmp_path: Path) -> None:
    backbone = load_model(f"hub:{write_tf2_module(tmp_path / 'm', with_endpoints=False)}")
    assert by_name(backbone)["default"] == ("output", (4,))
    np.testing.assert_allclose(
        backbone(IMAGES, ["default"])["default"], expected()["vector"], atol=1e-5
    )


def test_a_tf1_module_by_its_signatures(tf1: Path) -> None:
    backbone = load_model(f"hub:{tf1}")
    names = by_name(backbone)
    assert names["default"] == ("output", (4,))
    assert names["image_feature_vector/net/block1"] == ("output", (8, 8, 4))
    assert "image_feature_vector (2 outputs)" in backbone.notes[0]
    layers = select_layers(["net/block1", "default"], backbone.features())
    assert [layer.name for layer in layers] == ["image_feature_vector/net/block1", "default"]
    result = backbone(IMAGES, [layer.name for layer in layers])
    np.testing.assert_allclose(result[layers[0].name], expected()["maps"], atol=1e-5)
    np.testing.assert_allclose(result["default"], expected()["vector"], atol=1e-5)


def test_a_signature_by_name(tf1: Path) -> None:
    backbone = load_model(f"hub:{tf1},signature=image_feature_vector")
    names = [layer.name for layer in backbone.features() if layer.kind == "output"]
    assert names == ["net/block1", "default"]
    spec = restore_model(backbone.spec).spec
    assert spec == backbone.spec
    assert spec.fingerprint != load_model(f"hub:{tf1}").spec.fingerprint
    with pytest.raises(UnknownName, match="Did you mean image_feature_vector"):
        load_model(f"hub:{tf1},signature=image_feature_vec")


@pytest.mark.parametrize("name", ["tf1", "tf2"])
def test_outputs_are_the_same_with_and_without_their_signature(
    tmp_path: Path, tf1: Path, name: str
) -> None:
    module, signature = tf1, "image_feature_vector"
    if name == "tf2":
        module, signature = write_two_signatures(tmp_path / "tf2"), "more"
    everything, one = (load_model(f"hub:{module}{end}") for end in ("", f",signature={signature}"))
    described = [layer for layer in one.features() if layer.kind == "output"]
    prefix = f"{signature}/"
    others = [each for each in everything.features() if each.name.startswith(prefix)]
    assert others == [replace(each, name=prefix + each.name) for each in described]
    assert all(each.type and each.parameters for each in others)
    # On the other engine as well, alone and beside what was chosen.
    for names in ([layer.name for layer in others], [others[0].name, "default", others[-1].name]):
        graph = everything.freeze(names)
        assert graph is not None
        network = ENGINES["openvino"].open(
            ENGINES["openvino"].convert(graph, everything.spec.input),
            NetworkSettings(tuple(names), "float32", 1, batch_size=4),
        )
        expected = everything(IMAGES, names)
        for layer, values in network(IMAGES).items():
            np.testing.assert_allclose(values, expected[layer], atol=1e-5, err_msg=layer)


def write_two_signatures(folder: Path) -> Path:
    """A module of TensorFlow 2 that is not called: its outputs are not in the order of names."""
    import tensorflow as tf

    class Module(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.kernel = tf.Variable(np.ones((3, 3, 3, 4), np.float32) / 27)

        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
        def run(self, images: Any) -> Any:
            maps = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME"))
            vector = tf.reduce_mean(maps, [1, 2])
            return {"z_first": maps, "a_last": tf.nn.softmax(vector), "m_then": vector}

        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
        def last(self, images: Any) -> Any:
            return {"default": self.run(images)["a_last"]}

    module = Module()
    signatures = {"default": module.last, "more": module.run}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def test_the_same_end_in_two_signatures_is_ambiguous(tmp_path: Path) -> None:
    import tensorflow as tf

    class Module(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
        def run(self, images: Any) -> Any:
            return {"net/last": tf.nn.relu(images)}

    module = Module()
    signatures = dict.fromkeys(("default", "a", "b"), module.run)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=signatures)
    layers = load_model(f"hub:{tmp_path / 'm'}").features()
    assert select_layers(["net/last"], layers)[0].name == "net/last"
    with pytest.raises(AmbiguousName, match=r"net/last, a/net/last|a/net/last"):
        select_layers(["last"], layers)


def test_size_and_scaling_are_those_of_the_documents(tmp_path: Path, tf2: Path) -> None:
    contract = load_model(f"hub:{tf2}").spec.input
    assert (contract.height, contract.width, contract.scaling) == (SIZE, SIZE, "unit")
    with pytest.raises(InvalidValue, match="16 x 16 pixels"):
        load_model(f"hub:{tf2}", input=InputOptions(img_size=(8, 8)))
    for name, write in (("one", write_tf1_module), ("two", write_tf2_module)):
        folder = write(tmp_path / name, size=None)
        assert load_model(f"hub:{folder}").spec.input.width == 224
        backbone = load_model(f"hub:{folder}", input=InputOptions(img_size=(20, 12)))
        assert select_layers(["net/block1"], backbone.features())[0].shape == (10, 6, 4)
        name = select_layers(["net/block1"], backbone.features())[0].name
        shape = backbone(np.zeros((1, 20, 12, 3), np.uint8), [name])[name].shape
        assert shape == (1, 10, 6, 4)


def test_whole_numbers_are_given_as_they_are(tmp_path: Path) -> None:
    import tensorflow as tf

    folder = write_tf2_module(tmp_path / "m", dtype=tf.uint8)
    assert load_model(f"hub:{folder}").spec.input.scaling == "raw"
    with pytest.raises(InvalidValue, match="takes whole numbers"):
        load_model(f"hub:{folder}", input=InputOptions(preprocess="unit"))


def test_a_bare_folder_is_a_module_where_it_can_be_nothing_else(
    tf1: Path, tf2: Path, tmp_path: Path
) -> None:
    assert load_model(str(tf2)).spec == load_model(f"hub:{tf2}").spec
    with pytest.raises(ModelError, match="no signatures.*named hub:DIR"):
        load_model(f"savedmodel:{tf2}")
    with pytest.raises(UnknownName, match="It has none"):
        load_model(f"{tf2},signature=default")
    marked = Path(shutil.copytree(tf1, tmp_path / "marked"))
    with pytest.raises(UnknownName, match="serving_default"):
        load_model(str(marked))
    (marked / "tfhub_module.pb").write_bytes(b"\x08\x03")
    assert load_model(str(marked)).spec == load_model(f"hub:{marked}").spec


def test_a_model_that_can_be_called_and_has_signatures_is_a_savedmodel(tmp_path: Path) -> None:
    import keras

    toy_keras_model().export(tmp_path / "toy", verbose=False)
    assert load_model(str(tmp_path / "toy")).spec.source == "savedmodel"
    images = keras.Input((8, 8, 3))
    outputs = keras.layers.GlobalMaxPooling2D()(images)
    keras.Model(images, outputs).export(tmp_path / "unscaled", verbose=False)
    backbone = load_model(str(tmp_path / "unscaled"))
    assert backbone.spec.source == "savedmodel"
    with pytest.raises(InvalidValue, match="module of TensorFlow Hub is named hub:DIR"):
        require_scaling(backbone)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    with pytest.raises(ModelError, match="There is no folder"):
        load_model(f"hub:{tmp_path / 'none'}")
    with pytest.raises(ModelError, match=r"holds no saved_model\.pb"):
        load_model(f"hub:{tmp_path}")
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no signatures"):
        load_model(f"hub:{tmp_path / 'empty'}")
    with pytest.raises(InvalidValue, match="alpha"):
        load_model(f"hub:{tmp_path / 'empty'},alpha=1")


# ---- downloads ----


@pytest.mark.parametrize(
    "url",
    [
        "https://tfhub.dev/google/imagenet/inception_v1/feature_vector/4",
        "https://www.kaggle.com/models/google/resnet-v2/TensorFlow1/50-feature-vector/1",
        "https://hub.tensorflow.google.cn/google/imagenet/resnet_v2_101/feature_vector/4",
    ],
)
def test_addresses_need_no_prefix(url: str) -> None:
    assert parse_reference(url) == ("hub", url, {})
    assert parse_reference(f"hub:{url},signature=x") == ("hub", url, {"signature": "x"})


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one module as tfhub.dev does, and counts."""

    content = b""
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.content else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(tf2: Path, tmp_path: Path) -> Iterator[str]:
    with tarfile.open(tmp_path / "module.tar.gz", "w:gz") as archive:
        for path in sorted(tf2.rglob("*")):
            archive.add(path, path.relative_to(tf2), recursive=False)
    Server.content, Server.asked = (tmp_path / "module.tar.gz").read_bytes(), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/google/small/1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_module_is_downloaded_once_into_the_cache(url: str, cache: Path, tf2: Path) -> None:
    backbone = load_model(f"hub:{url}")
    assert backbone.spec.reference == f"hub:{url}"
    assert backbone.packages == ("tensorflow-hub",)
    assert (hub_cache.module_folder(url) / "saved_model.pb").is_file()
    assert hub_cache.module_folder(url).parent == cache
    assert Server.asked == ["/google/small/1?tf-hub-format=compressed"]
    again = restore_model(backbone.spec)
    assert again.spec == backbone.spec
    assert len(Server.asked) == 1
    assert load_model(f"hub:{tf2}").spec.fingerprint == backbone.spec.fingerprint


def test_a_module_that_only_a_file_names_is_not_fetched_unasked(url: str, cache: Path) -> None:
    spec = load_model(f"hub:{url}").spec
    shutil.rmtree(cache)
    Server.asked.clear()
    with pytest.raises(DownloadNotAllowed, match="allow_download=True fetches it"):
        restore_model(spec)
    assert Server.asked == []
    assert restore_model(spec, allow_download=True).spec == spec
    assert len(Server.asked) == 1
    assert restore_model(spec).spec == spec  # Its content is in the cache.
    damaged = hub_cache.module_folder(url) / "saved_model.pb"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(ModelError):
        restore_model(spec)
    assert len(Server.asked) == 1
    assert restore_model(spec, weights=url).spec == spec  # Named by the user.
    assert len(Server.asked) == 2


def test_a_module_at_an_address_is_known_the_second_time(url: str, cache: Path) -> None:
    first = load_model(f"hub:{url}")
    second = load_model(f"hub:{url}")
    assert isinstance(second, RememberedBackbone)
    assert second.spec == first.spec
    assert isinstance(restore_model(first.spec), RememberedBackbone)
    shutil.rmtree(hub_cache.module_folder(url))
    third = load_model(f"hub:{url}")
    assert not isinstance(third, RememberedBackbone)
    assert third.spec == first.spec
    assert len(Server.asked) == 2


@pytest.mark.parametrize("damage", ["no graph", "no weights", "cut off", "no bytes"])
def test_half_a_download_is_fetched_again(url: str, cache: Path, damage: str) -> None:
    before = load_model(f"hub:{url}").spec
    folder = hub_cache.module_folder(url)
    graph = folder / "saved_model.pb"
    if damage == "no graph":
        graph.unlink()
    elif damage == "no weights":
        next((folder / "variables").glob("*data*")).unlink()
    elif damage == "cut off":
        graph.write_bytes(graph.read_bytes()[:100])
    else:
        next((folder / "variables").glob("*data*")).write_bytes(b"")
    assert load_model(f"hub:{url}").spec == before
    assert len(Server.asked) == 2


@pytest.mark.parametrize("damage", ["unknown operation", "cut off", "no weights"])
def test_a_module_is_kept_when_it_cannot_be_fetched_again(
    url: str, cache: Path, damage: str
) -> None:
    load_model(f"hub:{url}")
    folder = hub_cache.module_folder(url)
    graph = folder / "saved_model.pb"
    if damage == "unknown operation":
        graph.write_bytes(graph.read_bytes().replace(b"\x04Relu", b"\x04ReXX"))
    elif damage == "cut off":
        graph.write_bytes(graph.read_bytes()[:100])
    else:
        next((folder / "variables").glob("*data*")).unlink()
    (folder / "notes.txt").write_text("mine")
    Server.content = b""
    first = "could not be downloaded" if damage == "no weights" else "TensorFlow cannot load"
    with pytest.raises(ModelError, match=first):
        load_model(f"hub:{url}")
    assert len(Server.asked) == (1 if damage == "unknown operation" else 2)
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]


def test_the_lock_of_a_dead_process_does_not_hold_anyone_up(url: str, cache: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder = hub_cache.module_folder(url)
    cache.mkdir()
    lock = folder.with_name(f"{folder.name}.lock")
    lock.write_text(f"{socket.gethostname()}.{dead.pid}.abc")
    half = folder.with_name(f"{folder.name}.abc.tmp")
    half.mkdir()
    load_model(f"hub:{url}")
    assert not lock.exists()
    assert not half.exists()


def test_what_is_no_module_at_an_address(url: str, cache: Path) -> None:
    Server.content = b"<html>"
    with pytest.raises(ModelError, match="could not be downloaded"):
        load_model(f"hub:{url}")
    assert not hub_cache.module_folder(url).exists()


def test_offline_the_error_says_what_to_place_where(url: str, cache: Path, tf2: Path) -> None:
    Server.content = b""
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        load_model(f"hub:{url}")
    folder = hub_cache.module_folder(url)
    assert f"{url}?tf-hub-format=compressed" in str(caught.value)
    assert str(folder) in str(caught.value)
    assert folder.name == hashlib.sha1(url.encode()).hexdigest()
    shutil.copytree(tf2, folder)  # As told.
    assert load_model(f"hub:{url}").spec.location == url


def test_the_cache_is_the_users_never_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.delenv("FEATX_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert hub_cache.cache_folder() == tmp_path / "featx" / "hub"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert hub_cache.cache_folder() == Path("/home/ada/.cache/featx/hub")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert hub_cache.cache_folder() == Path("/home/ada/Library/Caches/featx/hub")


def test_folders_of_the_user_are_never_removed(tf2: Path, tmp_path: Path, cache: Path) -> None:
    shutil.copytree(tf2, tmp_path / "mine")
    (tmp_path / "mine" / "saved_model.pb").write_bytes(b"damaged")
    with contextlib.suppress(ModelError):
        load_model(f"hub:{tmp_path / 'mine'}")
    hub_cache.forget_module(tmp_path / "mine")
    assert (tmp_path / "mine" / "saved_model.pb").exists()
