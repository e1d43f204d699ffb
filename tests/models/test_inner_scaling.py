"""Scaling inside networks: found behind whatever does not scale, named, and warned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.engines.tensorflow import import_tensorflow
from featx.errors import FingerprintMismatch, InvalidValue
from featx.events import Listener
from featx.models import load_model
from featx.models.inner_scaling import recognize_scaling
from featx.testing import write_images

SIZE = 16
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE = np.array([123.68, 116.779, 103.939])


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def build(before: Callable[[Any, Any], Any]) -> Any:
    """A network that does something with its pixels before a convolution."""
    import_tensorflow()
    import keras

    images = keras.Input((SIZE, SIZE, 3))
    maps = keras.layers.Conv2D(2, 3, name="conv")(before(keras, images))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="mean")(maps))


def behind_augmentation(keras: Any, images: Any) -> Any:
    layers = keras.layers
    augmented = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="vary")
    resized = layers.Resizing(12, 12)(augmented(images))
    return layers.Rescaling(1 / 127.5, offset=-1, name="scale")(resized)


def behind_flip(keras: Any, images: Any) -> Any:
    return keras.layers.Rescaling(1 / 127.5, offset=-1, name="scale")(
        keras.layers.RandomFlip()(images)
    )


def nested(keras: Any, images: Any) -> Any:
    return keras.Sequential([keras.layers.Rescaling(1 / 255, name="scale")], name="inner")(images)


def with_normalization(mean: Any, deviation: Any) -> Callable[[Any, Any], Any]:
    def begin(keras: Any, images: Any) -> Any:
        variance = np.square(deviation)
        return keras.layers.Normalization(mean=mean, variance=variance, name="norm")(images)

    return begin


def function(module: str) -> Callable[[Any, Any], Any]:
    return lambda keras, images: getattr(keras.applications, module).preprocess_input(images)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("before", "scaling", "text"),
    [
        (behind_augmentation, "raw", "begins with 'scale': from [0, 255] to [-1, 1]"),
        (nested, "raw", "begins with 'inner/scale': from [0, 255] to [0, 1]"),
        (with_normalization(255 * MEAN, 255 * DEVIATION), "raw", "from [0, 255] to [-2.118, 2.64]"),
        (with_normalization(MEAN, DEVIATION), "unit", "'norm': from [0, 1] to [-2.118, 2.64]"),
        (with_normalization([0.5] * 3, [0.25] * 3), None, "'norm': probably from [0, 1] to [-2, 2"),
        (function("mobilenet"), "raw", "from [0, 255] to [-1, 1]"),
        (function("vgg16"), "raw", "from [0, 255] to [-123.7, 151.1]"),
        (lambda keras, images: images * 2 - 1, None, "probably from [0, 1] to [-1, 1]"),
        (lambda keras, images: keras.layers.ReLU()(images), None, ""),
        (lambda keras, images: keras.ops.square(images / 255), "raw", "from [0, 255] to [0, 1]"),
        (lambda keras, images: images * images, None, ""),
    ],
)
def test_a_keras_file_says_what_it_does_with_pixels(
    tmp_path: Path, before: Any, scaling: str | None, text: str
) -> None:
    build(before).save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"))
    assert backbone.spec.input.scaling == scaling
    assert text in backbone.beginning.text
    assert bool(backbone.beginning.text) == bool(text)
    remembered = load_model(str(tmp_path / "net.keras"))
    assert remembered.beginning == backbone.beginning
    assert not remembered.is_loaded


@pytest.mark.tensorflow
def test_a_savedmodel_says_it_too(tmp_path: Path) -> None:
    build(behind_flip).export(tmp_path / "net", verbose=False)
    backbone = load_model(str(tmp_path / "net"))
    assert backbone.spec.input.scaling == "raw"
    assert "from [0, 255] to [-1, 1]" in backbone.beginning.text
    assert "scale" in backbone.beginning.text
    twice = load_model(str(tmp_path / "net"), preprocess="unit")
    assert "both scale the pixels" in twice.beginning.warning
    extractor = featx.Extractor(str(tmp_path / "net"), preprocess="unit")
    with pytest.warns(UserWarning, match="both scale the pixels"):
        extractor.transform(write_images(1, tmp_path / "photos"))


@pytest.mark.tensorflow
def test_scaling_twice_is_warned_of(tmp_path: Path) -> None:
    build(behind_augmentation).save(tmp_path / "net.keras")
    photos = write_images(2, tmp_path / "photos")
    options: dict[str, Any] = {"model": str(tmp_path / "net.keras"), "layers": ["mean"]}
    notes = Notes()
    featx.extract(photos, output=tmp_path / "own.h5", listener=notes, **options)
    assert not any("warning" in text for text in notes.texts)
    twice: dict[str, Any] = {"preprocess": "unit", "output": tmp_path / "twice.h5", **options}
    featx.extract(photos, listener=notes, **twice)
    (warning,) = [text for text in notes.texts if text.startswith("warning")]
    assert warning == (
        "warning: preprocess='unit' and the model both scale the pixels: it begins with 'scale': "
        "from [0, 255] to [-1, 1]. Leave the option out, or use preprocess='raw'"
    )


@pytest.mark.tensorflow
def test_a_store_goes_on_in_its_own_scaling(tmp_path: Path) -> None:
    build(with_normalization([0.5] * 3, [0.25] * 3)).save(tmp_path / "net.keras")
    photos = write_images(2, tmp_path / "photos")
    options: dict[str, Any] = {
        "model": str(tmp_path / "net.keras"),
        "layers": ["mean"],
        "output": tmp_path / "f.h5",
    }
    with pytest.raises(InvalidValue, match=r"It begins with 'norm': probably from \[0, 1\]"):
        featx.extract(photos, **options)
    featx.extract(photos, preprocess="unit", **options)
    write_images(3, photos)
    report = featx.extract(photos, **options)
    assert (report.done, report.skipped) == (1, 2)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.header.model.input.scaling == "unit"
    write_images(4, photos)
    with pytest.raises(FingerprintMismatch, match="scaling"):
        featx.extract(photos, preprocess="raw", **options)


@pytest.mark.parametrize(
    ("factor", "offset", "certain", "likely"),
    [
        (1 / 255, 0, "raw", "raw"),
        (1 / 127.5, -1, "raw", "raw"),
        (1, -127.5, "raw", "raw"),
        (1, -CAFFE, "raw", "raw"),
        (1, -CAFFE[::-1], None, None),  # Of pixels that are BGR already.
        (1 / DEVIATION, -MEAN / DEVIATION, "unit", "unit"),
        (2, -1, None, "unit"),
        (0.5, 0.5, None, "tf"),
        (2, 0.2, None, "tf"),
        (3, 0, None, "tf"),
        (100, 3, None, None),
    ],
)
def test_what_is_certain_and_what_is_likely(
    factor: Any, offset: Any, certain: str | None, likely: str | None
) -> None:
    inner = recognize_scaling((), np.broadcast_to(factor, 3), np.broadcast_to(offset, 3))
    assert (inner.scaling, inner.likely) == (certain, likely)
    assert bool(inner.warn("caffe")) == (certain is not None)
    assert inner.warn(inner.scaling) == inner.warn(None) == ""


@pytest.mark.tensorflow
def test_a_branch_behind_the_door_is_no_part_of_it(tmp_path: Path) -> None:
    import_tensorflow()
    import keras

    images = keras.Input((SIZE, SIZE, 3))
    scaled = keras.layers.Rescaling(2.0, name="scale")(images)
    shifted = keras.layers.BatchNormalization(name="shift")(scaled)
    maps = keras.layers.Conv2D(3, 3, padding="same")(scaled)
    model = keras.Model(images, keras.layers.Add()([shifted, maps]))
    model.get_layer("shift").set_weights([np.full(3, 9), np.full(3, 5), np.zeros(3), np.ones(3)])
    model.save(tmp_path / "net.keras")
    text = load_model(str(tmp_path / "net.keras")).beginning.text
    assert text == "begins with 'scale': from [0, 255] to [0, 510]"
