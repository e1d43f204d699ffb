"""The folder for the Embedding Projector, read by protobuf and by TensorBoard itself."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

import featx
from featx.exports import sprite, tensorboard
from featx.exports.sprite import GREY, PAPER, draw_sprite, plan_sprite
from featx.images.roots import Root
from featx.images.sources import find_images
from tests.exports.conftest import COLORS, HOSTILE_KEYS, HOSTILE_LABELS, Notes
from tests.store_samples import write_color, write_sample


def read_config(folder: Path) -> Any:
    """Parse the configuration with the fields of TensorBoard's projector_config.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="projector.proto", package="projector")
    many, one = 3, 1  # LABEL_REPEATED, LABEL_OPTIONAL
    text, number, message = 9, 13, 11  # TYPE_STRING, TYPE_UINT32, TYPE_MESSAGE
    for name, fields in {
        "Sprite": [("image_path", one, text, ""), ("single_image_dim", many, number, "")],
        "Embedding": [
            ("tensor_name", one, text, ""),
            ("metadata_path", one, text, ""),
            ("bookmarks_path", one, text, ""),
            ("tensor_shape", many, number, ""),
            ("sprite", one, message, ".projector.Sprite"),
            ("tensor_path", one, text, ""),
        ],
        "Config": [
            ("model_checkpoint_path", one, text, ""),
            ("embeddings", many, message, ".projector.Embedding"),
        ],
    }.items():
        made = file.message_type.add(name=name)
        for position, (field, label, kind, type_name) in enumerate(fields, start=1):
            made.field.add(
                name=field, number=position, label=label, type=kind, type_name=type_name or None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    config = message_factory.GetMessageClass(pool.FindMessageTypeByName("projector.Config"))()
    text_format.Parse((folder / "projector_config.pbtxt").read_text(encoding="utf-8"), config)
    (embedding,) = config.embeddings
    return embedding


def read_tensors(folder: Path) -> np.ndarray:
    lines = (folder / "tensors.tsv").read_text(encoding="ascii").splitlines()
    return np.array([[float(text) for text in line.split("\t")] for line in lines], np.float32)


def read_metadata(folder: Path) -> list[list[str]]:
    """Read it as the projector's page does: lines at \\n, empty ones dropped, fields at tabs."""
    text = (folder / "metadata.tsv").read_bytes().decode("utf-8")
    assert "\r" not in text  # Python's text mode would end a line there.
    return [line.split("\t") for line in text.split("\n") if line.strip()]


def unescape(text: str) -> str:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def test_points_and_names(
    hostile: Path, values: np.ndarray, tmp_path: Path, small_blocks: None
) -> None:
    featx.export_store(hostile, tmp_path / "board")
    np.testing.assert_array_equal(read_tensors(tmp_path / "board"), values)
    header, *rows = read_metadata(tmp_path / "board")
    assert header == ["label", "key"]
    assert [unescape(key) for _, key in rows] == list(HOSTILE_KEYS)
    assert [unescape(label) for label, _ in rows] == [label or "" for label in HOSTILE_LABELS]


def test_one_column_has_no_header_and_no_empty_line(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"gap": np.ones((3, 2), np.float32)}, [" ", "a\tb", "c.png"])
    featx.export_store(tmp_path / "f.h5", tmp_path / "board")
    assert read_metadata(tmp_path / "board") == [["\\x20"], ["a\\tb"], ["c.png"]]


def test_the_configuration(colors: Path, tmp_path: Path) -> None:
    featx.export_store(colors, tmp_path / "board")
    embedding = read_config(tmp_path / "board")
    assert embedding.tensor_name == "gap"
    assert list(embedding.tensor_shape) == [5, 2]
    for path in (embedding.tensor_path, embedding.metadata_path, embedding.sprite.image_path):
        assert (tmp_path / "board" / path).is_file()
    assert list(embedding.sprite.single_image_dim) == [96, 96]


@pytest.mark.parametrize("layer", ["relu#2", "backbone/out:0", 'a"b\n', "a b&c", "Blüte"])
def test_names_of_layers_survive_in_addresses(layer: str, tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {layer: np.ones((2, 2), np.float32)})
    assert featx.export_store(tmp_path / "f.h5", tmp_path / "board").layer == layer
    name = read_config(tmp_path / "board").tensor_name
    assert name.isascii()
    assert not set(name) & set('#&?%+ /:"\n')


def test_the_sprite_is_a_square_of_tiles_in_the_order_of_the_rows(
    colors: Path, tmp_path: Path
) -> None:
    featx.export_store(colors, tmp_path / "board")
    tile = read_config(tmp_path / "board").sprite.single_image_dim[0]
    with Image.open(tmp_path / "board" / "sprite.png") as image:
        assert image.mode == "RGB"
        assert image.size == (3 * tile, 3 * tile)  # Five pictures: the last row is empty.
        centres = [
            image.getpixel((number % 3 * tile + tile // 2, number // 3 * tile + tile // 2))
            for number in range(9)
        ]
    assert centres == [*COLORS, *[PAPER] * 4]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 240, 7225, 7226, 99_999, 100_000])
def test_every_number_of_tiles_fits(count: int) -> None:
    columns, tile = plan_sprite(count)
    assert columns == math.ceil(math.sqrt(count))
    assert columns * tile <= 8192
    assert tile >= 25


def test_pictures_are_upright_and_whole(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 200), (255, 0, 0))
    image.paste((0, 0, 255), (200, 0, 400, 200))  # The right half is blue.
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by 90°: blue at the bottom.
    image.save(tmp_path / "turned.jpg", exif=exif)
    drawn = draw_sprite(Root.parse(tmp_path), ["turned.jpg"], Notes())
    assert drawn.failures == ()
    top, bottom = drawn.image.getpixel((48, 10)), drawn.image.getpixel((48, 86))
    np.testing.assert_allclose(top, (255, 0, 0), atol=4)
    np.testing.assert_allclose(bottom, (0, 0, 255), atol=4)
    assert drawn.image.getpixel((5, 48)) == PAPER  # Half as wide as high.


def test_large_jpegs_are_decoded_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (1600, 1600), (10, 200, 30)).save(tmp_path / "large.jpg")
    sizes = []
    real = JpegImageFile.load

    def load(self: JpegImageFile) -> Any:
        sizes.append(self.size)
        return real(self)

    monkeypatch.setattr(JpegImageFile, "load", load)
    drawn = draw_sprite(Root.parse(tmp_path), ["large.jpg"], Notes())
    np.testing.assert_allclose(drawn.image.getpixel((48, 48)), (10, 200, 30), atol=4)
    assert sizes[0] == (200, 200)  # An eighth; twice the tile is the least.
    assert drawn.failures == ()


def test_missing_and_damaged_pictures_are_grey_and_noted(
    colors: Path, tmp_path: Path, notes: Notes
) -> None:
    (tmp_path / "photos" / "image_1.png").unlink()
    (tmp_path / "photos" / "image_3.png").write_bytes(b"no picture")
    report = featx.export_store(colors, tmp_path / "board", listener=notes)
    assert report.rows == 5
    with Image.open(tmp_path / "board" / "sprite.png") as image:
        centres = [
            image.getpixel((number % 3 * 96 + 48, number // 3 * 96 + 48)) for number in (1, 3)
        ]
        assert centres == [GREY, GREY]
        assert image.getpixel((2 * 96 + 48, 48)) == COLORS[2]
    assert notes.notes[0] == (
        "2 of 5 pictures cannot be read, their tiles are grey (image_1.png: there is no such file)"
    )
    assert notes.stages == [("rows", 5), ("pictures", 5)]
    assert notes.advanced == [5, 5]


def test_without_any_picture_there_are_points(hostile: Path, tmp_path: Path, notes: Notes) -> None:
    featx.export_store(hostile, tmp_path / "board", listener=notes)
    assert not (tmp_path / "board" / "sprite.png").exists()
    assert not read_config(tmp_path / "board").HasField("sprite")
    assert notes.notes[0].startswith("none of the pictures can be read below")


def test_a_pipe_in_the_place_of_a_picture_does_not_block(tmp_path: Path) -> None:
    os = pytest.importorskip("os")
    os.mkfifo(tmp_path / "a.png")
    assert draw_sprite(Root.parse(tmp_path), ["a.png"], Notes()).failures[0][0] == "a.png"


def test_more_pictures_than_are_made_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sprite, "LOOK_AHEAD", 2)
    keys = [f"{number}.png" for number in range(5)]
    for key, color in zip(keys, COLORS, strict=True):
        write_color(tmp_path / key, color)
    drawn = draw_sprite(Root.parse(tmp_path), keys, Notes())
    centres = [drawn.image.getpixel((n % 3 * 96 + 48, n // 3 * 96 + 48)) for n in range(5)]
    assert tuple(centres) == COLORS


def test_only_the_rows_that_the_projector_shows(
    colors: Path, tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    assert tensorboard.MAX_POINTS == 100_000
    monkeypatch.setattr(tensorboard, "MAX_POINTS", 4)
    report = featx.export_store(colors, tmp_path / "board", listener=notes)
    assert report.rows == 4
    assert "4 points at most: only the first of the 5 rows" in notes.notes[0]
    assert read_tensors(tmp_path / "board").tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert len(read_metadata(tmp_path / "board")) == 4
    assert list(read_config(tmp_path / "board").tensor_shape) == [4, 2]
    with Image.open(tmp_path / "board" / "sprite.png") as image:
        assert image.size == (192, 192)


def test_the_sprite_is_not_taken_for_a_photograph(colors: Path, tmp_path: Path) -> None:
    featx.export_store(colors, tmp_path / "photos" / "board")
    assert len(find_images(tmp_path / "photos").items) == 5


def test_a_failure_at_the_last_moment_leaves_no_folder(
    colors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "save_sprite", fail)
    with pytest.raises(KeyboardInterrupt):
        featx.export_store(colors, tmp_path / "board")
    assert not (tmp_path / "board").exists()


def test_tensorboard_serves_the_folder(
    colors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ask TensorBoard's own plugin, as the page does."""
    pytest.importorskip("tensorboard")
    # Makes TensorBoard use its small substitute for TensorFlow, which starts at once.
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("notf"))
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client

    board = tmp_path / "board"
    featx.export_store(colors, board)
    runs = SimpleNamespace(list_runs=lambda *_, **__: [])
    plugin = ProjectorPlugin(SimpleNamespace(data_provider=runs, logdir=str(board)))
    routes = plugin.get_plugin_apps()

    def get(route: str, **query: str) -> bytes:
        response = Client(routes[route]).get("/", query_string=query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_data()

    assert json.loads(get("/runs")) == ["."]
    config = json.loads(get("/info", run="."))
    (embedding,) = config["embeddings"]
    name = embedding["tensorName"]
    assert embedding["tensorShape"] == [5, 2]
    tensor = np.frombuffer(get("/tensor", run=".", name=name, num_rows="100000"), np.float32)
    assert tensor.tolist() == list(range(10))
    metadata = get("/metadata", run=".", name=name, num_rows="100000").decode()
    assert metadata.splitlines() == [f"image_{number}.png" for number in range(5)]
    sprite = get("/sprite_image", run=".", name=name)
    assert sprite == (board / "sprite.png").read_bytes()
