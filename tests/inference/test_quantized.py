"""8 bits: what they are calibrated and compared on, what is told, and how a store goes on."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.engines import quantization
from featx.engines.engines import Network, Results
from featx.engines.graph import NotConvertible
from featx.engines.openvino import OpenVino
from featx.errors import FingerprintMismatch, InvalidValue, ModelError, StoreError
from featx.images.reading import DecodedImage
from featx.images.roots import Root
from featx.images.sources.items import ImageItem
from featx.inference.announcing import describe_choice
from featx.inference.quantized import classify_held_out, measure_quantized
from featx.inference.request import EngineRequest
from featx.inference.trial import Trial
from featx.models import load_model
from featx.report.store_tables import describe_run
from featx.testing.contracts.engines import EngineCase, EngineContract
from featx.testing.images import write_images
from featx.user_cache import CACHE_VARIABLE
from tests.inference.test_choice import Notes

needs_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason="NNCF is not installed: featx[int8]"
)
CLASSES = ("dark", "light")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def calibrations(monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[list[np.ndarray]]:
    """The pictures of each calibration; what is "quantised" is the network as it was."""
    made: list[list[np.ndarray]] = []

    def spy(model: Any, images: Sequence[np.ndarray]) -> Any:
        made.append(list(images))
        return model.clone()

    monkeypatch.setattr(quantization, "quantize", spy)
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(40, tmp_path / "photos", classes=CLASSES)


def runs_of(store: Path) -> list[dict[str, Any]]:
    with featx.open_store(store) as opened:
        return [dict(run) for run in opened.header.runs]


# ---- a run ----


def test_what_8_bits_change_is_measured_on_other_pictures_and_told(
    calibrations: list[list[np.ndarray]], photos: Path, tmp_path: Path
) -> None:
    notes = Notes()
    report = featx.extract(photos, output=tmp_path / "a.h5", precision="int8", listener=notes)
    assert [len(images) for images in calibrations] == [20]
    (run,) = runs_of(tmp_path / "a.h5")
    assert (run["engine"], run["precision"]) == ("openvino", "int8")
    assert run["compared_images"] == run["quantization"]["calibrated"] == 20
    assert run["quantization"]["median_cosine"]["embedding"] == pytest.approx(1, abs=1e-5)
    assert run["quantization"]["same_nearest"] == {"embedding": 1.0}
    assert len(run["quantization"]["accuracy"]["embedding"]) == 2
    (line,) = [line for line in notes.lines if line.startswith("engine openvino in int8")]
    assert "in 20 images" in line
    assert "the nearest neighbour unchanged for 100%, right by the nearest mean of a class" in line
    assert "calibrated on 20 others" in line
    assert any("calibrated on 20 others" in line for line in describe_run(run))
    assert report.to_dict()["run"]["quantization"] == run["quantization"]


def test_a_store_goes_on_with_its_own_network_or_not_at_all(
    calibrations: list[list[np.ndarray]], cache: Path, photos: Path, tmp_path: Path
) -> None:
    store = tmp_path / "a.h5"
    featx.extract(photos, output=store, precision="int8")
    write_images(48, photos, classes=CLASSES)
    assert featx.extract(photos, output=store).done == 8
    assert len(calibrations) == 1
    first, second = runs_of(store)
    assert second["precision"] == "int8"
    assert second["quantization"] == {"network": first["quantization"]["network"]}
    write_images(56, photos, classes=CLASSES)
    shutil.rmtree(cache)
    with pytest.raises(ModelError, match=r"by other versions\. Start over with overwrite=True\.$"):
        featx.extract(photos, output=store)
    with pytest.raises(FingerprintMismatch, match="expected int8, received float32"):
        featx.extract(photos, output=store, precision="float32")
    with pytest.raises(InvalidValue, match="tensorflow computes in float32"):
        featx.extract(photos, output=store, engine="tensorflow")


def test_the_same_pictures_give_the_same_network_and_others_another_one(
    calibrations: list[list[np.ndarray]], photos: Path, tmp_path: Path
) -> None:
    stores = [tmp_path / name for name in ("a.h5", "b.h5", "c.h5")]
    featx.extract(photos, output=stores[0], precision="int8")
    featx.extract(photos, output=stores[1], precision="int8")
    assert len(calibrations) == 1
    others = write_images(64, tmp_path / "others")
    featx.extract(others, output=stores[2], precision="int8")
    assert len(calibrations) == 2
    names = [runs_of(store)[0]["quantization"]["network"] for store in stores]
    assert names[0] == names[1] != names[2]
    assert "accuracy" not in runs_of(stores[2])[0]["quantization"]  # There are no classes.
    notes = Notes()
    merged = tmp_path / "merged.h5"
    featx.merge_stores([stores[0], stores[2]], merged, listener=notes)
    assert any("by several 8-bit networks" in line for line in notes.lines)
    write_images(48, photos, classes=CLASSES)
    with pytest.raises(StoreError, match="by several 8-bit networks"):
        featx.extract(photos, output=merged)


def test_8_bits_are_never_chosen_unasked(
    calibrations: list[list[np.ndarray]], photos: Path, tmp_path: Path
) -> None:
    featx.extract(photos, output=tmp_path / "a.h5")
    assert not calibrations
    assert "int8" not in OpenVino.precisions


# ---- refusals ----


def test_too_few_pictures(calibrations: list[list[np.ndarray]], tmp_path: Path) -> None:
    photos = write_images(31, tmp_path / "few")
    with pytest.raises(ModelError, match="at least 32 pictures of a run .* and here are 31"):
        featx.extract(photos, output=tmp_path / "a.h5", precision="int8")
    pixels = np.zeros((40, 8, 8, 3), np.uint8)
    with pytest.raises(ModelError, match="in archives or arrays, and here are 0. Use precision"):
        featx.extract(pixels, output=tmp_path / "a.h5", precision="int8")
    assert not calibrations


def test_only_extract_computes_in_8_bits(photos: Path) -> None:
    refused = "only it computes in them: precision='float32'"
    with pytest.raises(InvalidValue, match=refused):
        featx.Extractor(precision="int8").fit_transform(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(InvalidValue, match=refused):
        featx.embed(photos, precision="int8")
    pytest.importorskip("uvicorn")
    with pytest.raises(InvalidValue, match=refused):
        featx.serve("any.h5", precision="int8")


@pytest.mark.parametrize("option", [{"shard": (1, 2)}, {"cluster": "local"}])
def test_parts_that_would_differ(option: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray") if "cluster" in option else None
    with pytest.raises(InvalidValue, match="would calibrate an 8-bit network of its own"):
        featx.extract(photos, output=tmp_path / "a.h5", precision="int8", **option)


def test_tensorflow_does_not_compute_in_8_bits() -> None:
    with pytest.raises(InvalidValue, match="For .* take .*openvino"):
        EngineRequest("tensorflow", "int8")


def test_a_missing_library_is_one_line(
    cache: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)  # To import it is an error.
    with pytest.raises(InvalidValue, match=r"pip install 'featx\[int8\]'") as error:
        featx.extract(photos, output=tmp_path / "a.h5", precision="int8")
    assert "\n" not in str(error.value)


def test_a_network_without_convolutions() -> None:
    import openvino
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, 4, 4, 3], np.uint8)
    model = openvino.Model([ops.convert(pixels, "f32")], [pixels], "none")
    with pytest.raises(NotConvertible, match="it has no convolutions"):
        OpenVino().quantize(model, [np.zeros((4, 4, 3), np.uint8)])


# ---- measuring ----


class Fixed:
    """Gives rows that are known by the first value of each picture."""

    concurrency = 2
    batch_size = 8

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows.astype(np.float32)

    def __call__(self, pixels: np.ndarray) -> Results:
        return {"a": self.rows[pixels[:, 0, 0, 0]]}


def make_samples(labels: Sequence[str | None]) -> list[DecodedImage]:
    root = Root.parse(".")
    return [
        DecodedImage(
            ImageItem(str(number), root, label, 1, 1), b"", np.full((1, 1, 3), number, np.uint8)
        )
        for number, label in enumerate(labels)
    ]


def test_measures_are_of_the_pictures_that_did_not_calibrate() -> None:
    exact = np.array([[1, 0], [1, 0], [0, 1], [0.8, 0.6], [0, 1], [0, 1], [1, 0], [0.1, 1]], float)
    quantized = exact.copy()
    quantized[3] = [0.6, 0.8]  # Now nearer to the second kind.
    quantized[0] = [0.9, 0.1]  # Calibrates: no cosine is of it.
    labels = ["x", "x", "y", "x", "y", "y", "x", "y"]
    trial: Any = Trial(None, ("a",), np.zeros((8, 1, 1, 3), np.uint8), 8)  # type: ignore[arg-type]
    first: Network = Fixed(exact)
    facts = measure_quantized(trial, first, Fixed(quantized), make_samples(labels))
    assert facts["compared_images"] == facts["quantization"]["calibrated"] == 4
    assert facts["lowest_cosine"] == {"a": pytest.approx(0.96)}
    assert facts["quantization"]["median_cosine"] == {"a": 1.0}
    assert facts["quantization"]["same_nearest"] == {"a": 0.75}
    assert facts["quantization"]["accuracy"] == {"a": [1.0, 0.75]}
    said = describe_choice(
        {"engine": "e", "precision": "int8", "compared_precision": "int8", **facts}
    )
    assert "unchanged for 75%, right by the nearest mean of a class 100.0% → 75.0%" in said


def test_maps_are_averaged_as_searches_average_them() -> None:
    random = np.random.default_rng(0)
    exact = random.normal(5, 1, (8, 3, 2, 4))
    shuffled = exact[:, ::-1]  # Other maps, and the same means.
    trial: Any = Trial(None, ("a",), np.zeros((8, 1, 1, 3), np.uint8), 8)  # type: ignore[arg-type]
    first: Network = Fixed(exact)
    facts = measure_quantized(trial, first, Fixed(shuffled), make_samples([None] * 8))
    assert facts["lowest_cosine"] == {"a": pytest.approx(1.0)}
    assert facts["quantization"]["median_cosine"] == {"a": pytest.approx(1.0)}


def test_classes_that_are_not_on_both_sides_do_not_count() -> None:
    rows = np.eye(2)[[0, 0, 1, 1]]
    assert classify_held_out(rows, ["a", "a", "b", "c"]) is None
    assert classify_held_out(rows, [None] * 4) is None
    assert classify_held_out(rows, ["a", "a", "b", "b"]) == 1.0


# ---- NNCF ----


@needs_nncf
def test_quantised_twice_it_is_the_same_and_near_to_float32(
    cache: Path, photos: Path, tmp_path: Path
) -> None:
    stores = [tmp_path / name for name in ("a.h5", "b.h5", "exact.h5")]
    for store in stores[:2]:
        featx.extract(photos, output=store, precision="int8")
        shutil.rmtree(cache)
    featx.extract(photos, output=stores[2], precision="float32")
    rows = []
    for store in stores:
        with featx.open_store(store) as opened:
            rows.append(opened.features("embedding")[:])
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()
    units = [some / np.linalg.norm(some, axis=1, keepdims=True) for some in rows]
    assert np.median((units[0] * units[2]).sum(axis=1)) > 0.95


@needs_nncf
def test_the_contract_of_engines_that_quantise(tmp_path: Path) -> None:
    case = EngineCase("openvino", load_model("builtin:mini"), ("embedding",))
    EngineContract().test_8_bits(case, tmp_path)


@pytest.mark.parametrize("process", ["own_process", "nullcontext"])
def test_openvino_reports_nothing(process: str) -> None:
    program = (
        "import sys\nfrom contextlib import nullcontext\nfrom featx.host import own_process\n"
        "from featx.engines.openvino_model import import_openvino\n"
        f"with {process}():\n    import_openvino()\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_bars_of_two_threads_stay_off_stdout() -> None:
    from rich import get_console

    console, before = get_console(), get_console().quiet
    seen = []

    def hold(number: int) -> None:
        with quantization._without_bars():
            time.sleep(0.01 * number)
            seen.append(console.quiet)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hold, range(4)))
    assert seen == [True] * 4
    assert console.quiet == before


TELEMETRY = """
import pathlib, sys
class Telemetry:
    def __init__(self, *args, **options):
        pathlib.Path(sys.path[0], "seen").write_text("made")
"""


@needs_nncf
def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry").mkdir()
    (tmp_path / "openvino_telemetry" / "__init__.py").write_text(TELEMETRY)
    program = (
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from featx.host import own_process\n"
        "with own_process():\n"
        "    from featx.engines.quantization import import_nncf\n"
        "    nncf = import_nncf()\n"
        "assert 'torch' not in sys.modules\n"
        "import inspect, nncf.telemetry.wrapper as wrapper\n"
        "assert not isinstance(wrapper.telemetry, wrapper.NNCFTelemetry)\n"
        "assert inspect.unwrap(nncf.quantize) is not nncf.quantize\n"
        "import openvino_telemetry\n"  # Others still get it.
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not (tmp_path / "seen").exists()
