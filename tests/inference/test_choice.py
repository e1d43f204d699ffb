"""Which engine and precision are taken, what is said of it, and what is remembered and recorded."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.engines.engines import ENGINES
from featx.engines.graph import NotConvertible
from featx.engines.openvino import OpenVino
from featx.engines.openvino_network import OpenVinoNetwork
from featx.engines.tensorflow import import_tensorflow
from featx.errors import FingerprintMismatch, InvalidValue, ModelError, UnknownName
from featx.events import Listener
from featx.inference import AcceleratedBackbone, EngineRequest, agreement, memory, speed
from featx.inference.agreement import lowest_cosine
from featx.inference.announcing import describe_choice
from featx.inference.speed import compare_speeds
from featx.inference.trial import FIRST_BATCH, Choice, Trial
from featx.input_spec import InputSpec
from featx.models import load_model
from featx.models.backbone import Layer
from featx.models.graph_backbone import GraphBackbone
from featx.options import InputOptions
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE
from tests.cli.program import Program
from tests.inference.agreement import pixels_for
from tests.inference.built import LAST, built_backbone, make_backbone
from tests.models.model_files import SIZE

MINI = "builtin:mini"

needs_bfloat16 = pytest.mark.skipif(
    not ENGINES["openvino"].has_precision("bfloat16"),
    reason="this processor computes no bfloat16",
)


class Notes(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that computes bfloat16, without a GPU; OpenVINO emulates what this one has not."""
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    monkeypatch.setattr(speed, "has_gpu", lambda: False)


@pytest.fixture
def features_of_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in's own engine is a fake: these tests need no TensorFlow."""

    def call(self: GraphBackbone, images: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        return {name: np.zeros((len(images), 256), np.float32) for name in names}

    monkeypatch.setattr(GraphBackbone, "__call__", call)
    monkeypatch.setattr(GraphBackbone, "is_loaded", property(lambda self: True))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """What `compare_speeds` returns, next first; empty: it must not be called."""
    speeds: list[list[float]] = []
    monkeypatch.setattr(speed, "compare_speeds", lambda *args, **options: speeds.pop(0))
    return speeds


def choose(**options: Any) -> tuple[AcceleratedBackbone, Notes]:
    notes = Notes()
    backbone = load_model(MINI)
    fast = AcceleratedBackbone(backbone, EngineRequest(**options), listener=notes)
    fast(pixels_for(backbone, 3), ["embedding"])
    return fast, notes


# ---- auto ----


@pytest.mark.usefixtures("features_of_mini")
def test_the_faster_engine_is_taken_and_that_is_remembered(measured: list[list[float]]) -> None:
    measured.append([300.0, 100.0])
    fast, notes = choose(precision="float32")
    assert fast.run_facts["engine"] == "openvino"
    assert fast.run_facts["speed_ratio"] == 3.0
    assert notes.lines == [
        "comparing engines on the first images, once for this machine",
        "engine openvino in float32; 3.0 times as fast as tensorflow here",
    ]
    fast, notes = choose(precision="float32")  # It is not measured again.
    assert fast.run_facts["engine"] == "openvino"
    assert notes.lines == ["engine openvino in float32; 3.0 times as fast as tensorflow here"]


@pytest.mark.usefixtures("features_of_mini")
def test_tensorflow_is_taken_where_it_is_faster(measured: list[list[float]]) -> None:
    measured.append([100.0, 250.0])
    for _ in range(2):
        fast, notes = choose(precision="float32")
        assert fast.run_facts["engine"] == "tensorflow"
        assert fast.run_facts["precision"] == "float32"
        assert fast.run_facts["speed_ratio"] == 0.4
        last = "engine tensorflow in float32; 2.5 times as fast as openvino here"
        assert notes.lines[-1] == last


@pytest.mark.usefixtures("features_of_mini")
@pytest.mark.parametrize(
    ("num_images", "engine"),
    [(8, "tensorflow"), (20, "tensorflow"), (5000, "openvino"), (None, "openvino")],
)
def test_for_few_images_nothing_is_converted(
    measured: list[list[float]],
    monkeypatch: pytest.MonkeyPatch,
    num_images: int | None,
    engine: str,
) -> None:
    """By the time that the engine which loaded the model takes: 10 ms for an image here."""
    seen: list[int] = []

    def compute(self: GraphBackbone, images: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        time.sleep(0.01 * len(images))
        seen.append(len(images))
        return {name: np.ones((len(images), 256), np.float32) for name in names}

    monkeypatch.setattr(GraphBackbone, "__call__", compute)
    measured.append([300.0, 100.0])
    backbone = load_model(MINI)
    fast = AcceleratedBackbone(backbone, EngineRequest(), num_images=num_images)
    rows = fast(pixels_for(backbone, 8), ["embedding"])["embedding"]
    assert (fast.run_facts["engine"], len(rows)) == (engine, 8)
    if engine == "tensorflow":
        assert sum(seen) == 8  # Nothing twice.
        assert len(measured) == 1  # Nor measured.


@pytest.mark.usefixtures("features_of_mini")
def test_another_machine_or_precision_is_measured_anew(
    measured: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.extend([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
    assert choose(precision="float32")[0].run_facts["engine"] == "openvino"
    monkeypatch.setattr(memory, "describe_machine", lambda: "another, 64 cores")
    assert choose(precision="float32")[0].run_facts["engine"] == "tensorflow"
    assert choose(precision="auto")[0].run_facts["engine"] == "openvino"
    assert measured == []


@pytest.mark.usefixtures("features_of_mini")
def test_other_layers_are_measured_anew(
    measured: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured.extend([[2.0, 1.0], [1.0, 2.0]])
    backbone = load_model(MINI)
    ratios = []
    for layer in ("embedding", "block1_conv1", "embedding"):
        fast = AcceleratedBackbone(backbone, EngineRequest(precision="float32"))
        fast(pixels_for(backbone, 3), [layer])
        ratios.append(fast.run_facts["speed_ratio"])
    assert ratios == [2.0, 0.5, 2.0]


@pytest.mark.usefixtures("features_of_mini")
@pytest.mark.parametrize("content", [b"\xff", b"", b"null", b'{"openvino": 1, "own": 9}'])
def test_a_damaged_measurement_is_made_anew(
    measured: list[list[float]], tmp_path: Path, content: bytes
) -> None:
    measured.extend([[2.0, 1.0], [3.0, 1.0]])
    choose(precision="float32")
    (path,) = (tmp_path / "cache" / "speeds").iterdir()
    path.write_bytes(content)
    fast, _ = choose(precision="float32")
    assert fast.run_facts["speed_ratio"] == 3.0


def test_the_ratio_is_to_tensorflow_even_if_it_did_not_load_the_model(
    measured: list[list[float]],
) -> None:
    measured.append([300.0, 100.0])
    backbone = load_model(MINI)
    trial = Trial(backbone, ("embedding",), pixels_for(backbone, 3), 3)
    network: Any = None  # Nothing is computed.
    opened = [
        Choice(name, network, {"engine": name, "precision": "float32"}, {})
        for name in ("tensorflow", "openvino")
    ]
    facts = speed.choose_fastest(trial, opened, None).facts
    assert facts["speed_ratio"] == 0.333
    expected = "engine tensorflow in float32; 3.0 times as fast as openvino here"
    assert describe_choice(facts) == expected


def test_a_model_that_is_not_loaded_is_not_loaded_to_be_measured(
    measured: list[list[float]],
) -> None:
    fast, notes = choose(precision="float32")
    assert fast.run_facts["engine"] == "openvino"
    assert not fast.is_loaded
    assert notes.lines == []


@pytest.mark.usefixtures("features_of_mini")
def test_what_was_asked_for_is_not_measured(measured: list[list[float]]) -> None:
    assert choose(engine="openvino", precision="float32")[0].run_facts["engine"] == "openvino"
    assert choose(engine="tensorflow")[0].run_facts["engine"] == "tensorflow"
    fast, _ = choose(precision="bfloat16")  # Which TensorFlow does not compute.
    assert fast.run_facts["precision"] == "bfloat16"
    assert fast.run_facts["engine"] == "openvino"


def test_speeds_are_images_per_second() -> None:
    class Sleeping:
        batch_size = 4

        def __init__(self, seconds: float, concurrency: int) -> None:
            self.seconds, self.concurrency = seconds, concurrency

        def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
            time.sleep(self.seconds)
            return {}

    pixels = np.zeros((4, 1))
    slow, quick = Sleeping(0.02, 1), Sleeping(0.004, 2)
    first, second = compare_speeds([(slow, pixels), (quick, pixels)], seconds=0.05)
    assert 100 < first <= 200
    assert 3 * first < second <= 2000


# ---- fallback ----


def refuse(*arguments: Any, **options: Any) -> Any:
    raise NotConvertible("it has the operation Xyz")


def refuse_mixed(engine: OpenVino, model: Any, precision: str) -> Any:
    if precision == "mixed":
        refuse()
    return model


@pytest.mark.usefixtures("features_of_mini")
@pytest.mark.parametrize("engine", ["auto", "openvino"])
@pytest.mark.parametrize("step", ["convert", "open"])
def test_what_openvino_cannot_take_is_left_to_tensorflow(
    monkeypatch: pytest.MonkeyPatch, engine: Any, step: str
) -> None:
    monkeypatch.setattr(OpenVino, step, refuse)
    fast, notes = choose(engine=engine)
    assert fast.run_facts == {"engine": "tensorflow", "precision": "float32"}
    assert notes.lines == [
        "openvino cannot take builtin:mini (it has the operation Xyz): tensorflow runs it"
    ]
    with pytest.raises(NotConvertible, match="Xyz"):
        choose(precision="bfloat16")


@pytest.mark.usefixtures("features_of_mini")
def test_a_refusal_is_remembered_for_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse_and_count(*arguments: Any) -> Any:
        tried.append(arguments)
        refuse()

    monkeypatch.setattr(OpenVino, "convert", refuse_and_count)
    assert choose()[1].lines == choose()[1].lines
    assert len(tried) == 1
    monkeypatch.setattr(OpenVino, "versions", lambda self: {"openvino": "2031.1"})
    assert "Xyz" in choose()[1].text
    assert len(tried) == 2


@pytest.mark.usefixtures("features_of_mini")
@pytest.mark.parametrize("cause", [MemoryError("no memory"), OSError(28, "disk full")])
def test_what_may_work_next_time_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    def fail(*arguments: Any) -> Any:
        raise NotConvertible(str(cause)) from cause

    with monkeypatch.context() as patch:
        patch.setattr(OpenVino, "convert", fail)
        assert choose(engine="openvino")[0].run_facts["engine"] == "tensorflow"
    assert choose(engine="openvino")[0].run_facts["engine"] == "openvino"


@pytest.mark.usefixtures("features_of_mini")
def test_an_engine_that_fails_or_gives_other_shapes_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = OpenVinoNetwork.__call__

    def fail(self: Any, pixels: np.ndarray) -> Any:
        raise ModelError("out of memory")

    def transpose(self: Any, pixels: np.ndarray) -> Any:
        return {name: values[:, :-1] for name, values in real(self, pixels).items()}

    for call, reason in ((fail, "out of memory"), (transpose, "the shape (255,)")):
        monkeypatch.setattr(OpenVinoNetwork, "__call__", call)
        for precision in ("auto", "float32"):
            fast, notes = choose(engine="openvino", precision=precision)
            assert fast.run_facts["engine"] == "tensorflow"
            assert reason in notes.text


@pytest.mark.tensorflow
def test_a_real_operation_that_openvino_does_not_know(tmp_path: Path) -> None:
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="input")
        tf.reduce_mean(tf.math.erfinv(images * 0.5), [1, 2], name="mean")
    (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    overrides = InputOptions(preprocess="unit")
    backbone = load_model(str(tmp_path / "graph.pb"), input=overrides)
    pixels = pixels_for(backbone)
    notes = Notes()
    fast = AcceleratedBackbone(backbone, listener=notes)
    received = fast(pixels, ["mean"])["mean"]
    assert fast.run_facts["engine"] == "tensorflow"
    assert notes.lines == [
        "openvino cannot take graphdef:graph.pb (No conversion rule found for operations: "
        "Erfinv): tensorflow runs it"
    ]
    np.testing.assert_array_equal(received, backbone(pixels, ["mean"])["mean"])


# ---- precision ----


def test_an_engine_or_precision_that_there_is_not() -> None:
    with pytest.raises(UnknownName, match="openvino"):
        EngineRequest("onnx")
    with pytest.raises(UnknownName, match="bfloat16"):
        EngineRequest("auto", "float16")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=r"tensorflow computes in float32.*engine='openvino'"):
        EngineRequest("tensorflow", "bfloat16")


def test_a_processor_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: precision == "float32")
    with pytest.raises(InvalidValue, match=r"no instructions for bfloat16.*precision='auto'"):
        choose(precision="bfloat16")
    fast, notes = choose(precision="auto")
    assert fast.run_facts["precision"] == "float32"
    assert "lowest_cosine" not in fast.run_facts
    fast, notes = choose(stored_precision="bfloat16")
    assert fast.run_facts["precision"] == "float32"
    assert "are in bfloat16, for which this processor has no instructions" in notes.text


def test_features_of_a_precision_that_an_engine_lacks_are_continued_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OpenVino, "precisions", ("float32", "bfloat16"))
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: 1.0)
    fast, notes = choose(stored_precision="mixed")
    assert fast.run_facts["precision"] == "float32"
    assert "lowest_cosine" not in fast.run_facts
    assert "are in mixed precision, new ones in float32" in notes.text


@pytest.mark.parametrize(("count", "images"), [(1, "1 image"), (3, "3 images")])
def test_how_many_images_were_compared_is_said(
    monkeypatch: pytest.MonkeyPatch, count: int, images: str
) -> None:
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: 1.0)
    notes = Notes()
    backbone = load_model(MINI)
    AcceleratedBackbone(backbone, listener=notes)(pixels_for(backbone, count), ["embedding"])
    assert f"to float32 in {images}: 1.00000 (embedding)" in notes.lines[-1]


@pytest.mark.parametrize(
    ("cosine", "precision"), [(1.0, "bfloat16"), (0.999, "bfloat16"), (0.9989, "float32")]
)
def test_bfloat16_is_taken_where_it_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, cosine: float, precision: str
) -> None:
    cosines = [1.0, cosine]
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: cosines.pop())
    monkeypatch.setattr(OpenVino, "prepare", refuse_mixed)
    notes = Notes()
    backbone = load_model(MINI)
    fast = AcceleratedBackbone(backbone, listener=notes)
    fast(pixels_for(backbone, 20), ["block4_pool", "embedding"])
    assert fast.run_facts["precision"] == precision
    assert fast.run_facts["lowest_cosine"] == {"block4_pool": cosine, "embedding": 1.0}
    assert fast.run_facts["compared_images"] == FIRST_BATCH
    layer = min(fast.run_facts["lowest_cosine"], key=fast.run_facts["lowest_cosine"].__getitem__)
    assert notes.lines == [
        f"engine openvino in {precision}; lowest cosine of bfloat16 to float32 in 8 images: "
        f"{cosine:.5f} ({layer})"
    ]


def test_further_images_are_compared_while_precisions_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make_backbone()
    pixels = pixels_for(backbone, 5)
    further = list(pixels_for(backbone, 7))
    monkeypatch.setattr(OpenVino, "prepare", refuse_mixed)

    def facts(*cosines: float) -> tuple[Any, ...]:
        # In a cache of its own: what one folder showed is remembered for the next.
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "-".join(map(str, cosines))))
        left = list(cosines)
        monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: left.pop(0))
        fast = AcceleratedBackbone(backbone, further=lambda: further)
        values = fast(pixels, [LAST])[LAST]
        assert left == []
        facts = fast.run_facts
        exact = AcceleratedBackbone(backbone, EngineRequest(precision=facts["precision"]))
        np.testing.assert_array_equal(values, exact(pixels, [LAST])[LAST])
        return facts["precision"], facts["lowest_cosine"][LAST], facts["compared_images"]

    assert facts(0.9995, 0.9992, 0.9999) == ("bfloat16", 0.9992, 12)
    assert facts(0.9995, 0.9999, 0.9) == ("float32", 0.9, 12)
    assert facts(0.9995, 0.9) == ("float32", 0.9, 10)
    assert facts(0.9) == ("float32", 0.9, 5)


def test_a_known_precision_is_checked_on_a_few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make_backbone()
    first, few = pixels_for(backbone, 8), list(pixels_for(backbone, 6))
    left: list[float] = []
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: left.pop(0))
    monkeypatch.setattr(OpenVino, "prepare", refuse_mixed)

    def facts(*cosines: float) -> tuple[Any, ...]:
        left[:] = cosines
        notes = Notes()
        fast = AcceleratedBackbone(backbone, checked=lambda: few, listener=notes)
        values = fast(first, [LAST])[LAST]
        assert left == []
        facts = fast.run_facts
        exact = AcceleratedBackbone(backbone, EngineRequest(precision=facts["precision"]))
        np.testing.assert_array_equal(values, exact(first, [LAST])[LAST])
        return facts["precision"], facts.get("compared_images"), notes.text

    assert facts(0.9999)[:2] == ("bfloat16", 8)  # Measured, far from the bound.
    assert facts(0.9995, 0.9992, 0.9999)[:2] == ("bfloat16", 4 + 6)
    precision, images, text = facts(0.9995, 0.9989)  # A folder on which it is wrong.
    assert (precision, images) == ("float32", 8)
    assert "keeps a cosine of only 0.99890 (last) to float32 in these" in text
    assert facts(0.9991)[:2] == ("bfloat16", 8)  # Measured anew, near the bound:
    assert facts(0.9995, 0.9995)[:2] == ("bfloat16", 8 + 6)  # More are checked.


def test_that_no_precision_suits_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load_model(MINI)
    left = [0.9]
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: left.pop(0))
    monkeypatch.setattr(OpenVino, "prepare", refuse_mixed)
    for _ in range(2):
        fast = AcceleratedBackbone(backbone)
        fast(pixels_for(backbone, 3), ["embedding"])
        assert (fast.run_facts["precision"], left) == ("float32", [])


@pytest.mark.parametrize(
    "facts", [{"precision": "int3", "cosine": 1.0}, {"precision": "float32", "cosine": "0.5"}, {}]
)
def test_what_is_remembered_but_makes_no_sense_is_measured_again(
    facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [0.9]
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: left.pop(0))
    monkeypatch.setattr(OpenVino, "prepare", refuse_mixed)
    monkeypatch.setattr(memory, "read_facts", lambda kind, key: facts)
    fast = AcceleratedBackbone(load_model(MINI))
    fast(pixels_for(load_model(MINI), 3), ["embedding"])
    assert (fast.run_facts["precision"], left) == ("float32", [])


@pytest.mark.parametrize("value", [None, "fast", 0, -1.0, float("nan"), float("inf")])
def test_speeds_that_make_no_sense_are_not_remembered(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Any = None
    candidates = [Choice("openvino", network, {"precision": "float32"})]
    monkeypatch.setattr(memory, "read_facts", lambda kind, key: {"openvino": value})
    assert memory.find_speeds("key", candidates) is None


def build_difference(names: Sequence[str]) -> Any:
    """A network whose results are lost in bfloat16: a difference of numbers near 1000."""
    from openvino import Model
    from openvino import opset13 as ops

    images = ops.parameter([-1, 8, 8, 3], np.float32, name="images")
    images.output(0).get_tensor().set_names({"images:0"})
    kernel = ops.constant(np.random.default_rng(0).normal(size=(16, 192)).astype(np.float32))
    flat = ops.reshape(images, np.array([-1, 192]), False)
    big = ops.add(ops.matmul(flat, kernel, False, True), np.float32(1e6))
    result = ops.result(
        ops.add(ops.matmul(big, np.eye(16, dtype=np.float32), False, False), np.float32(-1e6))
    )
    result.set_friendly_name(names[0])
    return Model([result], [images])


@needs_bfloat16
def test_a_network_that_bfloat16_spoils_stays_float32() -> None:
    layers = [Layer("difference", "layer", "Add", None, (16,))]
    contract = InputSpec(8, 8, scaling="raw")
    backbone = built_backbone(build_difference, layers, contract)
    fast = AcceleratedBackbone(backbone)
    fast(pixels_for(backbone, 4), ["difference"])
    assert fast.run_facts["lowest_cosine"]["difference"] < 0.999
    assert fast.run_facts["precision"] == "float32"


def test_cosines_of_what_is_no_number() -> None:
    rows = np.ones((2, 3), np.float32)
    for wrong in (np.nan, np.inf):
        values = rows.copy()
        values[1, 1] = wrong
        assert lowest_cosine(values, rows) == 0
        assert lowest_cosine(rows, values) == 0
        assert lowest_cosine(values, values) == 0
    zeros = np.zeros_like(rows)
    assert lowest_cosine(zeros, zeros) == 1
    assert lowest_cosine(rows, zeros) == 0
    assert lowest_cosine(rows.reshape(2, 3, 1, 1), 2 * rows.reshape(2, 3, 1, 1)) == 1
    assert lowest_cosine(np.full((1, 4), 3e38), np.full((1, 4), 3e38)) == pytest.approx(1)


# ---- in the store ----


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_images(3, tmp_path / "photos", size=(40, 30))


def last_run(store: str = "features.h5") -> dict[str, Any]:
    with featx.open_store(store) as opened:
        return dict(opened.header.runs[-1])


def test_what_was_measured_is_recorded_and_shown(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: 0.99996)
    program = Program(monkeypatch, capsys)
    assert program("extract", "photos").status == 0
    run = last_run()
    assert (run["engine"], run["precision"]) == ("openvino", "bfloat16")
    assert run["lowest_cosine"] == {"embedding": 0.99996}
    assert run["compared_images"] == 3
    assert run["openvino"].count(".") == 2
    assert run["openvino"].replace(".", "").isdigit()
    shown = program("info").out
    assert "\n             openvino in bfloat16 (lowest cosine 0.99996 in 3 images)\n" in shown
    assert f", openvino {run['openvino']}\n" in shown
    assert "{" not in shown
    assert json.loads(program("info", "--json").out)["runs"][-1] == run


def test_the_line_about_a_run_says_what_was_decided() -> None:
    from featx.report.store_tables import describe_run

    run = {"started": "2026-01-31T09:30:12+00:00", "computed": 15, "seconds": 2.0, "featx": "1.0"}
    before = "15 images on 2026-01-31 09:30 UTC in 2.0 s, 7.5 images/s"
    cases = (
        ({"engine": "tensorflow", "precision": "float32"}, "tensorflow in float32; featx 1.0"),
        (
            {"engine": "tensorflow", "precision": "float32", "speed_ratio": 0.5},
            "tensorflow in float32 (2.0 times as fast as openvino); featx 1.0",
        ),
        (
            {
                "engine": "openvino",
                "openvino": "2026.4.1",
                "precision": "float32",
                "lowest_cosine": {"a": 0.9, "b": 0.99},
                "compared_images": 16,
                "speed_ratio": 1.25,
            },
            "openvino in float32 (lowest cosine of bfloat16 0.90000 in 16 images; 1.2 times as "
            "fast as tensorflow); featx 1.0, openvino 2026.4.1",
        ),
    )
    for facts, expected in cases:
        assert describe_run(run | facts) == [before, *expected.rsplit("; ", 1)]


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_a_store_goes_on_in_its_precision(
    photos: Path, monkeypatch: pytest.MonkeyPatch, stored: Any
) -> None:
    monkeypatch.setattr(OpenVino, "prepare", refuse_mixed)  # It takes seconds.
    cosine = 0.5 if stored == "float32" else 1.0
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: cosine)
    featx.extract(photos)
    assert last_run()["precision"] == stored
    # What would now be chosen is the other one, and nothing is compared.
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: 1.5 - cosine)
    write_images(5, photos, size=(40, 30))
    assert featx.extract(photos).done == 2
    assert last_run()["precision"] == stored
    assert "lowest_cosine" not in last_run()
    write_images(6, photos, size=(40, 30))
    featx.extract(photos, precision=stored)
    assert last_run()["precision"] == stored


@pytest.mark.usefixtures("features_of_mini")
def test_a_store_in_bfloat16_goes_on_with_another_engine(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    featx.extract(photos, precision="bfloat16")
    write_images(5, photos, size=(40, 30))
    notes = Notes()
    featx.extract(photos, engine="tensorflow", listener=notes)
    assert "the existing features are in bfloat16, new ones in float32" in notes.lines
    run = last_run()
    assert (run["engine"], run["precision"]) == ("tensorflow", "float32")


@pytest.mark.usefixtures("features_of_mini")
def test_tensorflow_alone_never_imports_openvino(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # To import it is an error.
    monkeypatch.delitem(sys.modules, "featx.engines.openvino", raising=False)
    featx.extract(photos, engine="tensorflow")
    assert last_run()["engine"] == "tensorflow"
    assert "featx.engines.openvino" not in sys.modules


def test_features_of_two_precisions_are_not_mixed_unasked(photos: Path) -> None:
    assert featx.extract(photos, precision="bfloat16").done == 3
    write_images(5, photos, size=(40, 30))
    for again in (4, 5):  # Also with nothing to do: who asks would believe that it was exact.
        with pytest.raises(FingerprintMismatch, match="another precision"):
            featx.extract(photos, precision="float32")
        if again == 4:
            assert featx.extract(photos).done == 2
    assert featx.extract(photos, precision="float32", overwrite=True).done == 5


def test_the_precision_is_chosen_by_images_from_all_over_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.images import reading

    monkeypatch.setattr(reading, "SPREAD_SHARE", 4)
    monkeypatch.setattr(agreement, "lowest_cosine", lambda first, second: 0.9996)
    photos = write_images(20, tmp_path / "many", size=(40, 30))
    featx.extract(photos, output=tmp_path / "store.h5")
    assert last_run(str(tmp_path / "store.h5"))["compared_images"] == FIRST_BATCH + 5
