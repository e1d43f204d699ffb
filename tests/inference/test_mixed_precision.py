"""Networks prepared for mixed precision: what is rounded, and what is made good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import featx
from featx.engines import mixed_precision
from featx.engines.engines import ENGINES, NetworkSettings
from featx.engines.graph import NotConvertible
from featx.engines.mixed_precision import correct
from featx.engines.noise_statistics import make_noise
from featx.engines.openvino import OpenVino
from featx.engines.openvino_model import get_core
from featx.engines.openvino_network import OpenVinoNetwork
from featx.engines.rounding import to_bfloat16
from featx.errors import FingerprintMismatch, InvalidValue
from featx.inference import AcceleratedBackbone, EngineRequest, agreement, speed
from featx.inference.agreement import lowest_cosine
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.models.graph_backbone import GraphBackbone
from featx.store import assembly
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE
from tests.inference.agreement import pixels_for
from tests.inference.built import LAST, SIZE, build, make_backbone, make_images, scale_images
from tests.inference.test_choice import Notes
from tests.real_data import REAL_DATA, needs_real_data

ENGINE = ENGINES["openvino"]

needs_bfloat16 = pytest.mark.skipif(
    not ENGINE.has_precision("bfloat16"), reason="this processor computes no bfloat16"
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


# ---- a network ----


def converted(backbone: Backbone) -> Any:
    source = backbone.freeze([LAST])
    assert source is not None
    return ENGINE.convert(source, backbone.spec.input)


def run(model: Any, precision: Any, pixels: np.ndarray, block: int = 4) -> np.ndarray:
    network = OpenVinoNetwork(model, NetworkSettings((LAST,), precision, 1, block), block)
    return network(pixels)[LAST]


@needs_bfloat16
def test_corrected_constants_make_up_for_most_of_the_rounding() -> None:
    backbone = make_backbone()
    model = converted(backbone)
    pixels = pixels_for(backbone, 8)
    expected = run(model, "float32", pixels)
    received = {
        "bfloat16": run(model, "bfloat16", pixels),
        "mixed": run(ENGINE.prepare(model, "mixed"), "mixed", pixels),
    }
    loss = {name: 1 - lowest_cosine(expected, values) for name, values in received.items()}
    assert 0 < loss["mixed"] < loss["bfloat16"], loss
    # What rounding adds to every picture alike.
    bias = {
        name: np.abs((values - expected).mean(axis=(0, 1, 2))).max()
        for name, values in received.items()
    }
    assert 0 < bias["mixed"] < 0.5 * bias["bfloat16"], bias
    # The model that was given is what it was.
    np.testing.assert_array_equal(run(model, "float32", pixels), expected)


@needs_bfloat16
def test_the_first_convolutions_are_computed_in_float32_and_no_others() -> None:
    model = ENGINE.prepare(converted(make_backbone()), "mixed").clone()
    model.reshape([4, SIZE, SIZE, 3])
    settings = {"INFERENCE_PRECISION_HINT": "bf16"}
    compiled = get_core().compile_model(model, "CPU", settings)
    precisions = [
        str(node.rt_info["runtimePrecision"].value)
        for node in compiled.get_runtime_model().get_ordered_ops()
        if str(node.rt_info["layerType"].value) in ("Convolution", "GroupConvolution")
    ]
    assert precisions == ["f32"] * 3 + ["bf16"] * 8


def test_in_float32_the_corrected_network_is_the_network() -> None:
    """What was rounded is 8 bits; nothing else may differ, in a batch of any size."""
    backbone = make_backbone()
    model = converted(backbone)
    pixels = pixels_for(backbone, 6)
    prepared = ENGINE.prepare(model, "mixed")
    for block in (1, 3, 4):
        expected, received = (run(one, "float32", pixels, block) for one in (model, prepared))
        assert lowest_cosine(expected, received) > 0.99999
        largest = np.abs(expected).max()
        np.testing.assert_allclose(received, expected, atol=0.03 * largest)
        assert not np.array_equal(received, expected)


def test_a_bias_makes_up_for_the_mean_of_what_rounding_changes() -> None:
    """In float32, where only weights are rounded, means of what comes out are what they were."""
    backbone = make_backbone()
    model = converted(backbone)
    prepared = ENGINE.prepare(model, "mixed")
    noise = make_noise(SIZE, SIZE, 3)
    before, after = (
        run(one, "float32", noise).mean(axis=(0, 1, 2), dtype=np.float64)
        for one in (model, prepared)
    )
    np.testing.assert_allclose(after, before, atol=1e-3 * before.max())


def small_network(make: Any, names: Sequence[str] = (LAST,)) -> Any:
    """A network of six 1 x 1 convolutions of 24 channels, with what `make` puts behind each."""
    from openvino import Model
    from openvino import opset13 as ops

    random = np.random.default_rng(2)
    images = make_images()
    x = scale_images(images)
    made = {}
    for number in range(6):
        channels = 24 if number else 3
        kernel = random.normal(size=(24, channels, 1, 1)) * np.sqrt(2 / channels)
        kernel = ops.constant(kernel.astype(np.float32))
        convolved = ops.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        x = make(ops, random, convolved, x)
        made[f"{LAST}{number}"] = x
    made[LAST] = x
    results = []
    for name in names:
        results.append(ops.result(ops.transpose(made[name], [0, 2, 3, 1])))
        results[-1].set_friendly_name(name)
    return Model(results, [images], "small")


def constant(ops: Any, random: np.random.Generator, *shape: int) -> Any:
    return ops.constant(random.normal(size=shape).astype(np.float32))


BEHIND = {
    "nothing": lambda ops, random, y, x: y,
    "a bias of zeros": lambda ops, random, y, x: ops.add(
        y, ops.constant(np.zeros((1, 24, 1, 1), np.float32))
    ),
    "a bias of each channel": lambda ops, random, y, x: ops.add(y, constant(ops, random, 24, 1, 1)),
    "a bias of each column": lambda ops, random, y, x: ops.add(
        y, constant(ops, random, 1, 1, 1, SIZE)
    ),
    "a bias of each position": lambda ops, random, y, x: ops.add(
        y, constant(ops, random, 1, 24, SIZE, SIZE)
    ),
    "two users": lambda ops, random, y, x: ops.add(ops.relu(y), ops.tanh(y)),
    "a residual": lambda ops, random, y, x: (
        ops.add(y, x) if x.get_output_partial_shape(0)[1].get_length() == 24 else y
    ),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_what_follows_a_convolution_is_not_changed(behind: str) -> None:
    def build_small(names: Sequence[str]) -> Any:
        return small_network(BEHIND[behind], names)

    backbone = make_backbone(build_small)
    model = converted(backbone)
    pixels = pixels_for(backbone, 4)
    expected = run(model, "float32", pixels)
    received = run(ENGINE.prepare(model, "mixed"), "float32", pixels)
    largest = np.abs(expected).max()
    assert not np.array_equal(received, expected)  # Some weights are rounded.
    np.testing.assert_allclose(received, expected, atol=0.02 * largest)
    assert lowest_cosine(expected, received) > 0.9999


def change_constants(
    model: Any, shape: tuple[int, ...], change: Callable[[np.ndarray], np.ndarray], first: int = 0
) -> Any:
    """Change constants of a shape, from the first of them that is to be changed."""
    from openvino import opset13 as ops

    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    for node in [node for node in nodes if tuple(node.get_output_shape(0)) == shape][first:]:
        changed = ops.constant(change(np.array(node.data)).astype(np.float32))
        for target in list(node.output(0).get_target_inputs()):
            target.replace_source_output(changed.output(0))
    return model


def biased_network() -> Any:
    backbone = make_backbone(lambda names: small_network(BEHIND["a bias of each channel"], names))
    return converted(backbone)


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.4e38, 1e31])
def test_weights_that_no_rounding_suits_are_left_alone(value: float) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        weights[3, 5] = value
        return weights

    model = change_constants(biased_network(), (24, 24, 1, 1), change, first=-1)
    prepared = ENGINE.prepare(model, "mixed")
    weights = [one.weights for one in mixed_precision._convolutions(prepared)]
    assert len(weights) == 5
    is_rounded = [np.array_equal(to_bfloat16(one), one) for one in weights]
    assert is_rounded == [False, False, False, True, True]


@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_means_far_above_the_deviations_do_no_harm(offset: float) -> None:
    """In float32, nothing is left of the covariance then."""
    model = change_constants(biased_network(), (24, 1, 1), lambda bias: bias + offset)
    pixels = pixels_for(make_backbone(), 4)
    expected, received = (
        run(one, "float32", pixels) for one in (model, ENGINE.prepare(model, "mixed"))
    )
    np.testing.assert_allclose(received, expected, rtol=0.01)


@pytest.mark.parametrize(("limit", "num_scaled"), [(SIZE * SIZE - 1, 0), (SIZE * SIZE, 3)])
def test_channels_of_small_maps_are_scaled(
    limit: int, num_scaled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_precision, "MAX_SCALED_PIXELS", limit)
    prepared = ENGINE.prepare(biased_network(), "mixed")
    shapes = [
        tuple(node.input_value(1).get_shape())
        for node in prepared.get_ordered_ops()
        if node.get_type_name() == "Multiply"
    ]
    assert shapes.count((1, 24, 1, 1)) == num_scaled


def test_the_same_network_is_prepared_the_same_way() -> None:
    first, again = (ENGINE.prepare(converted(make_backbone()), "mixed") for _ in range(2))
    constants = [
        [np.array(node.data) for node in one.get_ordered_ops() if hasattr(node, "data")]
        for one in (first, again)
    ]
    for one, other in zip(*constants, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "names", [(f"{LAST}1", LAST), (LAST, f"{LAST}1"), (f"{LAST}4", f"{LAST}2")]
)
def test_several_layers_keep_their_order(names: tuple[str, str]) -> None:
    def build_small(wanted: Sequence[str]) -> Any:
        return small_network(BEHIND["a bias of each channel"], wanted)

    backbone = make_backbone(build_small)
    source = backbone.freeze(names)
    assert source is not None
    model = ENGINE.convert(source, backbone.spec.input)
    pixels = pixels_for(backbone, 4)
    expected, received = (
        OpenVinoNetwork(one, NetworkSettings(names, "float32", 1, 4))(pixels)
        for one in (model, ENGINE.prepare(model, "mixed"))
    )
    for name in names:
        assert lowest_cosine(expected[name], received[name]) > 0.9999
    assert lowest_cosine(expected[names[0]], received[names[1]]) < 0.99


@needs_bfloat16
def test_a_version_that_ignores_the_marks_is_not_given_mixed_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(mixed_precision.MARK, "name", "unknown")
    backbone = make_backbone()
    with pytest.raises(NotConvertible, match="no single operation in float32"):
        AcceleratedBackbone(backbone, EngineRequest(precision="mixed"))(
            pixels_for(backbone), [LAST]
        )
    notes = Notes()
    fast = AcceleratedBackbone(backbone, EngineRequest(stored_precision="mixed"), listener=notes)
    fast(pixels_for(backbone), [LAST])
    assert fast.run_facts["engine"] == "openvino"
    assert fast.run_facts["precision"] == "float32"
    assert "are in mixed precision, in which openvino cannot compute now" in notes.text


def build_dense(names: Sequence[str]) -> Any:
    from openvino import Model
    from openvino import opset13 as ops

    images = make_images()
    kernel = np.random.default_rng(0).normal(size=(3, 24)).astype(np.float32)
    result = ops.result(ops.matmul(images, ops.constant(kernel), False, False))
    result.set_friendly_name(names[0])
    return Model([result], [images], "dense")


def test_a_network_without_convolutions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    model = converted(make_backbone(build_dense))
    with pytest.raises(NotConvertible, match="no convolutions"):
        correct(get_core(), model)
    fast = AcceleratedBackbone(make_backbone(build_dense), EngineRequest(precision="mixed"))
    with pytest.raises(NotConvertible) as caught:
        fast(pixels_for(make_backbone(), 2), [LAST])
    assert str(caught.value) == (
        "openvino cannot compute last of builtin:build_dense in mixed precision: there are no "
        "convolutions that can be corrected behind the first 3 layers with weights. Use "
        "precision='auto'."
    )


# ---- chosen ----


@pytest.fixture
def cosines(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `lowest_cosine` returns, next first."""
    values: list[float] = []
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    monkeypatch.setattr(speed, "has_gpu", lambda: False)
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: values.pop(0))
    return values


def test_mixed_precision_is_taken_where_bfloat16_is_not_good_enough(cosines: list[float]) -> None:
    cosines[:] = [0.95, 0.9995]
    backbone, notes = make_backbone(), Notes()
    fast = AcceleratedBackbone(backbone, listener=notes)
    pixels = pixels_for(backbone, 3)
    values = fast(pixels, [LAST])[LAST]
    assert fast.run_facts["precision"] == "mixed"
    assert fast.run_facts["compared_precision"] == "mixed"
    assert fast.run_facts["lowest_cosine"] == {LAST: 0.9995}
    assert notes.lines == [
        "engine openvino in mixed precision; lowest cosine of mixed precision to float32 in 3 "
        "images: 0.99950 (last)"
    ]
    asked = AcceleratedBackbone(backbone, EngineRequest(precision="mixed"))
    np.testing.assert_array_equal(asked(pixels, [LAST])[LAST], values)
    continued = AcceleratedBackbone(backbone, EngineRequest(stored_precision="mixed"))
    np.testing.assert_array_equal(continued(pixels, [LAST])[LAST], values)
    assert cosines == []  # Neither is compared.


@pytest.mark.parametrize("builder", [build, build_dense])
def test_float32_stays_where_neither_is_good_enough(cosines: list[float], builder: Any) -> None:
    cosines[:] = [0.95, 0.998]
    backbone = make_backbone(builder)
    fast = AcceleratedBackbone(backbone)
    fast(pixels_for(backbone, 3), [LAST])
    assert fast.run_facts["precision"] == "float32"
    if builder is build:
        assert fast.run_facts["compared_precision"] == "mixed"
        assert fast.run_facts["lowest_cosine"] == {LAST: 0.998}
    else:  # There is nothing to correct.
        assert fast.run_facts["compared_precision"] == "bfloat16"
        assert fast.run_facts["lowest_cosine"] == {LAST: 0.95}


def test_what_was_prepared_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Any] = []
    real = OpenVino.prepare

    def count(engine: OpenVino, model: Any, precision: Any) -> Any:
        prepared.append(model)
        return real(engine, model, precision)

    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    monkeypatch.setattr(OpenVino, "prepare", count)
    backbone = make_backbone()
    pixels = pixels_for(backbone, 3)
    first, second = (
        AcceleratedBackbone(backbone, EngineRequest(precision="mixed"))(pixels, [LAST])[LAST]
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert len(prepared) == 1


def test_it_is_openvinos() -> None:
    with pytest.raises(InvalidValue, match=r"precision='mixed' take engine='openvino'"):
        EngineRequest("tensorflow", "mixed")


def test_a_processor_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: precision == "float32")
    backbone, notes = make_backbone(), Notes()
    with pytest.raises(InvalidValue, match="no instructions for bfloat16"):
        AcceleratedBackbone(backbone, EngineRequest(precision="mixed"))(
            pixels_for(backbone), [LAST]
        )
    fast = AcceleratedBackbone(backbone, EngineRequest(stored_precision="mixed"), listener=notes)
    fast(pixels_for(backbone), [LAST])
    assert fast.run_facts["precision"] == "float32"
    assert "are in mixed precision, for which this processor has no instructions" in notes.text


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the built-in network is prepared once: that takes seconds."""
    return tmp_path_factory.mktemp("prepared")


def test_a_store_goes_on_in_mixed_precision(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(prepared))
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    store = tmp_path / "store.h5"
    photos = write_images(3, tmp_path / "photos")
    featx.extract(photos, output=store, precision="mixed")
    write_images(5, tmp_path / "photos")
    featx.extract(photos, output=store)
    with featx.open_store(store) as opened:
        assert [run["precision"] for run in opened.header.runs] == ["mixed", "mixed"]


def test_merged_stores_of_several_precisions_say_so_and_go_on_in_float32(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(prepared))
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    photos = write_images(4, tmp_path / "photos")
    stores = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for number, precision in enumerate(("mixed", "bfloat16"), start=1):
        shard = (number, 2)
        featx.extract(photos, output=stores[number - 1], precision=precision, shard=shard)  # type: ignore[arg-type]
    notes = Notes()
    merged = tmp_path / "merged.h5"
    featx.merge_stores(stores, merged, listener=notes)
    assert notes.lines == [
        "the features were computed in several precisions: mixed and bfloat16; new ones will be in "
        "float32"
    ]
    write_images(6, tmp_path / "photos")
    notes.lines.clear()
    featx.extract(photos, output=merged, listener=notes)
    line = "the existing features are in several precisions, mixed and bfloat16: new ones are "
    assert f"{line}in float32" in notes.lines
    with featx.open_store(merged) as opened:
        assert opened.header.precisions == ("mixed", "bfloat16", "float32")
    write_images(7, tmp_path / "photos")
    featx.extract(photos, output=merged, precision="mixed")  # One of the existing ones.
    featx.extract(photos, output=stores[0], shard=(1, 2))
    with pytest.raises(FingerprintMismatch, match="expected mixed, received bfloat16"):
        featx.extract(photos, output=stores[0], shard=(1, 2), precision="bfloat16")
    notes.lines.clear()
    featx.merge_stores([stores[0]], tmp_path / "one.h5", listener=notes)
    assert notes.lines == []


def test_what_was_begun_in_a_precision_goes_on_though_tensorflow_is_faster(
    cosines: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GraphBackbone, "is_loaded", property(lambda self: True))
    monkeypatch.setattr(speed, "compare_speeds", lambda runs: [1.0, 9.0])
    backbone = make_backbone()
    fast = AcceleratedBackbone(backbone, EngineRequest(stored_precision="mixed"))
    fast(pixels_for(backbone), [LAST])
    assert (fast.run_facts["engine"], fast.run_facts["precision"]) == ("openvino", "mixed")


def test_a_precision_is_not_forgotten_among_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MAX_RECORDED_RUNS", 2)
    precisions = ["float32", "float32", "bfloat16", "bfloat16", "bfloat16"]
    runs = [
        {"started": str(number), "computed": 1, "seconds": 1.0, "precision": precision}
        for number, precision in enumerate(precisions)
    ]
    source: Any = SimpleNamespace(header=SimpleNamespace(runs=runs))
    assert [run["started"] for run in assembly._join_runs([source])] == ["1", "3", "4"]


# ---- real weights ----


@pytest.mark.tensorflow
@needs_real_data
@needs_bfloat16
def test_mobilenet_v2_keeps_its_features(tmp_path: Path) -> None:
    from featx.images.decode import decode_image

    name = "mobilenet_v2_1.0_224_dequantized_from_coral_tf2_ptq_no_top.h5"
    backbone = load_model("keras:MobileNetV2", weights=str(REAL_DATA / "weights" / name))
    paths = sorted((REAL_DATA / "images/imagenette/val").glob("*/*"))[::47]
    pixels = np.stack([decode_image(path.read_bytes(), backbone.spec.input) for path in paths])
    results = {}
    for precision in ("float32", "mixed", "bfloat16"):
        fast = AcceleratedBackbone(backbone, EngineRequest("openvino", precision))  # type: ignore[arg-type]
        results[precision] = fast(pixels, ["out_relu"])["out_relu"]
    mixed, bfloat16 = (
        lowest_cosine(results["float32"], results[name]) for name in ("mixed", "bfloat16")
    )
    assert bfloat16 < 0.99
    assert mixed > 0.998
