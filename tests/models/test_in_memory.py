"""Models that are objects of the calling program: what is computed, recorded, and left alone."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import FingerprintMismatch, InvalidType, InvalidValue, ModelError
from featx.files import hash_file
from featx.host import own_process
from featx.models import load_model
from featx.models.in_memory import InMemory, check_model
from featx.models.keras_identity import identify_model
from featx.models.loading import restore_model
from featx.specs import as_recorded

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (6, 16, 16, 3), np.uint8)


def functional() -> Any:
    import keras

    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    scaled = layers.Rescaling(1 / 255, name="scale")(image)
    conv = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(scaled)
    norm = layers.BatchNormalization(name="norm")(conv)
    sepa = layers.SeparableConv2D(4, 3, padding="same", strides=1, name="sepa")(norm)
    added = layers.Add(name="added")([norm, sepa])
    mean = layers.GlobalAveragePooling2D(name="mean")(added)
    classes = layers.Dense(3, activation="softmax", name="classes")(mean)
    return keras.Model(image, classes, name="small")


def sequential() -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 127.5, offset=-1, name="scale"),
            layers.RandomFlip(name="flip"),
            layers.Conv2D(4, 3, strides=2, name="conv"),
            layers.ReLU(max_value=6.0, name="relu"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(5, name="classes"),
        ],
        name="row",
    )


def part() -> Any:
    import keras

    whole = functional()
    return keras.Model(whole.input, whole.get_layer("added").output, name="part")


def nested() -> Any:
    import keras

    inner, image = functional(), keras.Input((16, 16, 3))
    return keras.Model(image, keras.layers.Dense(2, name="two")(inner(image)), name="outer")


def tensorflow_module() -> Any:
    import tensorflow

    return tensorflow.Module()


MODELS = (
    functional,
    *(pytest.param(make, marks=pytest.mark.slow) for make in (sequential, part, nested)),
)


@pytest.fixture(scope="module")
def small() -> Any:
    return functional()


@pytest.mark.parametrize("make", MODELS)
def test_features_are_what_the_part_of_the_model_predicts(
    make: Callable[[], Any], pictures: np.ndarray
) -> None:
    import keras

    model = make()
    for layer in [each.name for each in model.layers if each.name in ("conv", "added", "relu")]:
        expected = keras.Model(model.inputs, model.get_layer(layer).output).predict(
            pictures.astype("float32"), verbose=0
        )
        found = featx.embed(pictures, model, layer=layer, pool=None)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    expected = model.predict(pictures.astype("float32"), verbose=0)
    found = featx.embed(pictures, model, layer=-1, pool=None)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_the_saved_file_is_the_same_model(
    make: Callable[[], Any], ending: str, tmp_path: Path
) -> None:
    model = make()
    path = tmp_path / f"net{ending}"
    model.save(path)
    in_memory, in_file = load_model(model), load_model(path)
    assert in_memory.spec.fingerprint == in_file.spec.fingerprint
    assert in_memory.spec.location == "memory"
    assert [layer.name for layer in in_memory.features()] == [
        layer.name for layer in in_file.features()
    ]
    weight = model.weights[0] if model.weights else None
    assert weight is not None
    weight.assign(weight + 1)
    assert load_model(model).spec.fingerprint != in_file.spec.fingerprint


def test_a_store_is_gone_on_with_from_memory_and_from_the_file(
    small: Any, pictures: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "net.keras"
    small.save(path)
    for first, second in ((small, path), (path, small)):
        output = tmp_path / f"{'memory' if first is small else 'file'}.h5"
        keyed = [(f"{number}", picture) for number, picture in enumerate(pictures)]
        assert featx.extract(keyed[:3], first, layer="mean", output=output).done == 3
        report = featx.extract(keyed, second, layer="mean", output=output)
        assert (report.done, report.skipped) == (3, 3)
        assert featx.extract(keyed, second, layer="mean", output=output).done == 0
        featx.build_index(output)
        by_file = featx.search(pictures[:1], features=output, weights=path)
        by_model = featx.search(pictures[:1], features=output, model=small)
        best = [report.results[0].matches[0] for report in (by_file, by_model)]
        assert best[0].key == best[1].key == "0"


def test_a_store_from_when_files_were_known_by_their_bytes_goes_on(
    small: Any, pictures: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "net.keras"
    small.save(path)
    spec = load_model(path).spec
    assert spec.file_sha256 == hash_file(path)
    assert spec.weights_sha256 != spec.file_sha256
    old = replace(spec, weights_sha256=hash_file(path), file_sha256=None)
    assert old.fingerprint != spec.fingerprint
    assert restore_model(old).spec.fingerprint == old.fingerprint
    assert as_recorded(spec, old).fingerprint == old.fingerprint
    later = replace(spec, weights_sha256="what a later Keras makes of it")
    assert as_recorded(later, spec).fingerprint == spec.fingerprint
    other = replace(spec, weights_sha256="a", file_sha256="b")
    assert as_recorded(other, spec) == other
    assert as_recorded(replace(other, file_sha256=None), replace(spec, file_sha256=None)) != spec


def test_a_store_of_a_model_in_memory_says_how_it_is_searched(
    small: Any, pictures: np.ndarray, tmp_path: Path
) -> None:
    output = tmp_path / "f.h5"
    featx.extract(list(pictures), small, layer="mean", output=output)
    featx.build_index(output)
    with pytest.raises(ModelError, match=r"in memory.*weights='net.keras', or pass .* model="):
        featx.search(pictures[:1], features=output)
    with own_process(), pytest.raises(ModelError, match=r"where it is with --weights net.keras\."):
        featx.search(pictures[:1], features=output)
    with pytest.raises(FingerprintMismatch, match="The model given is not the one"):
        featx.search(pictures[:1], features=output, model=functional())


@pytest.mark.slow
def test_classes_heads_and_scalings_of_a_model_in_memory(
    small: Any, pictures: np.ndarray, tmp_path: Path
) -> None:
    report = featx.predict(list(pictures), small, top=3)
    best = report.predictions[0]
    shares = dict(zip(best.classes, best.probabilities, strict=True))
    expected = small.predict(pictures[:1].astype("float32"), verbose=0)[0]
    assert [shares[name] for name in "012"] == pytest.approx(expected, abs=1e-5)
    assert len(featx.compare_scalings(list(pictures), small)) == 5
    labelled = [(str(n), picture, "ab"[n % 2]) for n, picture in enumerate(pictures)]
    featx.extract(labelled, small, layer="mean", output=tmp_path / "f.h5")
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", test_size=0)
    by_head = featx.predict(list(pictures), small, head=tmp_path / "head")
    assert len(by_head.predictions) == 6


def test_nothing_of_the_model_is_changed(pictures: np.ndarray) -> None:
    import keras

    before_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = functional()
        model.get_layer("conv").trainable = False
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(pictures / np.float32(255), np.arange(6) % 3, epochs=1, verbose=0)
        optimizer, call = model.optimizer, keras.layers.Layer.__call__
        weights = [np.array(weight) for weight in model.get_weights()]
        state = [np.array(variable) for variable in optimizer.variables]
        names = [layer.name for layer in model.layers]
        featx.embed(pictures, model, layer="added")
        featx.predict(list(pictures), model)
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy(before_policy)
    assert model.optimizer is optimizer
    assert keras.layers.Layer.__call__ is call
    assert [layer.name for layer in model.layers] == names
    assert [layer.trainable for layer in model.layers].count(False) == 1
    assert {layer.dtype_policy.name for layer in model.layers} == {"mixed_float16"}
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(state, optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
    model.fit(pictures / np.float32(255), np.arange(6) % 3, epochs=1, verbose=0)


@pytest.mark.slow
def _compile(source: str, place: str = "a.py") -> Any:
    """Return the function ``f`` of a cell of a notebook."""
    names: dict[str, Any] = {}
    exec(compile(source, place, "exec"), names)
    return names["f"]


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize("kind", ["activation", "Lambda"])
def test_functions_of_the_program_are_part_of_a_model(library: str, kind: str) -> None:
    layers = pytest.importorskip(library).layers

    def identify(source: str, place: str = "a.py") -> str:
        function = _compile(source, place)
        layer = (
            layers.Lambda(function, name="own")
            if kind == "Lambda"
            else layers.Conv2D(2, 1, activation=function, kernel_initializer="ones", name="own")
        )
        keras = pytest.importorskip(library)
        image = keras.Input((4, 4, 3), name="image")
        return identify_model(keras.Model(image, layer(image), name="net"))

    plain = identify("def f(x): return x * 2")
    assert identify("\n\ndef f(x): return x * 2", "b.py") == plain, "the place of the cell"
    others = [
        "def f(x): return x * 3",
        "def f(x, k=5): return x * k",
        "k = 2\ndef f(x): return x * k",
        "k = 3\ndef f(x): return x * k",
        "def g(x): return x * 2\ndef f(x): return g(x)",
        "def g(x): return x * 3\ndef f(x): return g(x)",
        "def make(k):\n    def f(x): return x * k\n    return f\nf = make(2)",
        "def make(k):\n    def f(x): return x * k\n    return f\nf = make(3)",
    ]
    assert len({plain, *map(identify, others)}) == 1 + len(others)


def test_classes_of_the_program_are_part_of_a_model() -> None:
    import keras

    def identify(factor: int, held: int, *, train: bool = False) -> str:
        class Base(keras.layers.Layer):
            factor: int

            def call(self, x: Any) -> Any:
                return x * self.factor * self.held

        Base.factor = factor

        class Own(Base):
            def __init__(self) -> None:
                super().__init__(name="own")
                self.held = held

        image = keras.Input((4, 4, 3), name="image")
        model = keras.Model(image, Own()(image), name="net")
        if train:
            model.compile("sgd", loss=lambda true, given: 0.0)
        return identify_model(model)

    assert identify(2, 2) == identify(2, 2) == identify(2, 2, train=True)
    assert len({identify(2, 2), identify(3, 2), identify(2, 3)}) == 3


def test_an_extractor_takes_a_model_anew_when_it_is_fitted(
    small: Any, pictures: np.ndarray
) -> None:
    extractor = featx.Extractor(small, "mean")
    before = extractor(pictures)
    layer = small.get_layer("norm")
    weights = layer.get_weights()
    try:
        layer.set_weights([weight + 1 for weight in weights])
        after = extractor.fit()(pictures)
        np.testing.assert_array_equal(after, featx.embed(pictures, small, layer="mean"))
        assert not np.allclose(after, before)
    finally:
        layer.set_weights(weights)


def test_an_extractor_of_a_model_in_memory_is_cloned_and_pickled(
    small: Any, pictures: np.ndarray
) -> None:
    from sklearn.base import clone

    extractor = featx.Extractor(small, "mean")
    expected = extractor(pictures)
    assert clone(extractor).model is small
    again = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_allclose(again(pictures), expected, atol=1e-6)


@pytest.mark.slow
def test_a_function_of_keras_applications_is_its_name(tmp_path: Path) -> None:
    import keras

    backbone = load_model(keras.applications.MobileNet, weights="random", img_size=32)
    named = load_model("keras:MobileNet", weights="random", img_size=32)
    assert backbone.spec == named.spec


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda keras: keras.Sequential([keras.layers.Dense(2)]), ModelError, "not built yet"),
        (lambda keras: keras.layers.Dense(2), InvalidType, "takes the name or path of a model"),
        (lambda keras: keras.Model, InvalidType, "takes the name or path of a model"),
        (
            lambda keras: tensorflow_module(),
            ModelError,
            r"__call__ is no tf\.function\. Decorate it with @tf\.function\(input_signature=",
        ),
        (
            lambda keras: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)]),
            InvalidValue,
            "expects its pixels",
        ),
    ],
)
def test_what_cannot_be_taken_is_said(
    make: Callable[[Any], Any], error: type[Exception], message: str, pictures: np.ndarray
) -> None:
    import keras

    with pytest.raises(error, match=message):
        featx.embed(pictures, make(keras))


def test_an_empty_name_is_no_model() -> None:
    for call in (featx.load_model, featx.layers, lambda name: featx.embed("a.jpg", model=name)):
        with pytest.raises(InvalidValue, match="'model' takes the name or path of a model"):
            call("")


def test_an_object_is_not_a_model_that_has_a_name(small: Any) -> None:
    spec = featx.load_model("builtin:mini").spec
    given = check_model("model", small)
    assert isinstance(given, InMemory)
    with pytest.raises(ModelError, match=r"'builtin:mini' .* Received: a model in memory"):
        restore_model(spec, model=given)


def test_weights_belong_to_models_that_have_none(small: Any) -> None:
    with pytest.raises(InvalidValue, match="A model in memory has its weights"):
        load_model(small, weights="imagenet")
