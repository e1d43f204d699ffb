"""What is remembered of earlier runs: doubtful speeds are measured again, precisions checked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.engines.engines import NetworkSettings
from featx.engines.graph import NotConvertible
from featx.engines.openvino import OpenVino
from featx.engines.openvino_network import OpenVinoNetwork
from featx.extraction import preparing, running
from featx.features.batch_queue import BatchQueue
from featx.inference import AcceleratedBackbone, candidates, choosing, speed
from featx.inference.agreement import Agreement
from featx.inference.candidates import Candidate
from featx.inference.memory import find_lost_seconds, keep_lost_seconds
from featx.inference.pending import PendingCheck
from featx.inference.speed import choose_fastest, compare_speeds
from featx.inference.trial import Choice, Trial
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.models.graph_backbone import GraphBackbone
from featx.models.remembered import recall, remember
from featx.store.parts import PartWriter, list_parts
from featx.user_cache import CACHE_VARIABLE, remember_facts
from tests.cli.program import Program
from tests.inference.agreement import pixels_for
from tests.inference.test_choice import Notes

MINI = "builtin:mini"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "has_gpu", lambda: False)


# ---- speeds ----


def choose(
    measured: Sequence[float] | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_loaded: bool = True,
    batch_size: int = 8,
) -> tuple[str, list[str]]:
    """Choose between both engines; None: they must not be measured."""
    monkeypatch.setattr(GraphBackbone, "is_loaded", property(lambda self: is_loaded))

    def compare(*arguments: Any, **options: Any) -> list[float]:
        assert measured is not None
        return list(measured)

    monkeypatch.setattr(speed, "compare_speeds", compare)
    backbone = load_model(MINI)
    notes = Notes()
    trial = Trial(backbone, ("embedding",), pixels_for(backbone, 4), batch_size, listener=notes)
    network: Any = None  # Nothing is computed.
    opened, own = (
        Choice(name, network, {"engine": name, "precision": "float32"}, {})
        for name in ("openvino", "tensorflow")
    )
    return choose_fastest(trial, [opened], own).engine, notes.lines


def test_a_clear_difference_is_measured_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for speeds, engine in (((100.0, 160.0), "tensorflow"), ((100.0, 60.0), "openvino")):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / engine))
        assert choose(speeds, monkeypatch)[0] == engine
        assert choose(None, monkeypatch) == (engine, [])


def test_what_noise_may_have_decided_is_measured_again_and_corrected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorFlow seemed 1.25 times as fast; a quieter run says otherwise."""
    assert choose((100.0, 125.0), monkeypatch)[0] == "tensorflow"
    engine, lines = choose((100.0, 80.0), monkeypatch)
    assert engine == "openvino"
    assert lines == [
        "comparing engines on the first images, once more: they took about the same time"
    ]
    assert choose(None, monkeypatch) == ("openvino", [])  # The mean of both, 1.0: for good.


def test_a_doubtful_decision_is_confirmed_only_where_the_model_is_loaded_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose((100.0, 105.0), monkeypatch)[0] == "openvino"
    assert choose(None, monkeypatch, is_loaded=False)[0] == "openvino"
    assert choose(None, monkeypatch, is_loaded=False, batch_size=1)[0] == "openvino"
    assert choose((100.0, 240.0), monkeypatch)[0] == "tensorflow"  # The mean is 1.59.
    assert choose(None, monkeypatch, is_loaded=False)[0] == "tensorflow"


def test_a_doubtful_decision_for_the_loaded_model_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose((100.0, 125.0), monkeypatch)[0] == "tensorflow"
    assert choose((100.0, 70.0), monkeypatch, is_loaded=False)[0] == "openvino"
    assert choose(None, monkeypatch, is_loaded=False)[0] == "openvino"


@pytest.mark.parametrize("times", [0, -1, "many", None, [1]])
def test_speeds_that_were_never_measured_are_not_believed(
    times: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    choose((100.0, 300.0), monkeypatch)
    (path,) = (tmp_path / "cache" / "speeds").iterdir()
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"times": times}))
    assert choose((300.0, 100.0), monkeypatch)[0] == "openvino"


def test_a_slow_network_that_has_computed_the_first_images_is_not_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(GraphBackbone, "is_loaded", True)

    class Network:
        concurrency, batch_size = 2, 4

        def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
            assert self is not own
            time.sleep(0.01)
            return {}

    own, other = Network(), Network()
    backbone = load_model(MINI)
    trial = Trial(backbone, ("embedding",), pixels_for(backbone, 4), 8)
    facts = {"precision": "float32"}
    loaded = Choice("tensorflow", own, facts, is_warm=True, seconds_per_image=0.5)
    opened = Choice("openvino", other, facts | {"engine": "openvino"}, {})
    chosen = choose_fastest(trial, [opened], loaded, seconds=0.1)
    assert chosen.engine == "openvino"
    assert 100 < chosen.facts["speed_ratio"] < 400  # At most 800 images/s beside 2.


def test_rounds_of_a_measurement() -> None:
    class Counting:
        concurrency, batch_size = 1, 4

        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
            self.calls += 1
            return {}

    def count(seconds: float, *, is_warm: bool) -> list[int]:
        networks = [Counting(), Counting()]
        compare_speeds([(one, np.zeros((4, 1))) for one in networks], seconds, is_warm=is_warm)
        return [one.calls for one in networks]

    assert count(0.0, is_warm=True) == [1, 1]  # One image: it is not worth more.
    assert count(0.0, is_warm=False) == [2, 2]  # The first does not count.
    assert count(10.0, is_warm=True) == [50, 50]


# ---- converting ----


@pytest.mark.parametrize(("num_images", "is_measured"), [(1000, False), (10_000, True)])
def test_a_network_that_was_never_measured_is_measured_in_a_long_run(
    monkeypatch: pytest.MonkeyPatch, num_images: int, is_measured: bool
) -> None:
    """An eighth of 0.4 s for each picture, two at a time."""
    backbone = load_model(MINI)
    remember("long", backbone)
    monkeypatch.setattr(GraphBackbone, "__call__", make_zeros)
    monkeypatch.setattr(speed, "compare_speeds", lambda *arguments, **options: [100.0, 160.0])

    class Network:
        concurrency, batch_size = 2, 4

    network: Any = Network()
    known = recall("long", lambda: backbone)
    assert known is not None
    facts = {"precision": "float32"}
    opened = Choice("openvino", network, facts | {"engine": "openvino"}, {}, seconds=0.4)
    own = Choice("tensorflow", network, facts | {"engine": "tensorflow"}, is_warm=True)
    trial = Trial(known, ("embedding",), pixels_for(backbone, 8), 8, num_images=num_images)
    expected = "tensorflow" if is_measured else "openvino"
    assert choose_fastest(trial, [opened], own).engine == expected


@pytest.mark.parametrize(
    ("loading", "engines"),
    [
        (4.0, "tensorflow tensorflow openvino"),
        (0.3, "tensorflow tensorflow tensorflow tensorflow openvino"),
    ],
)
def test_one_picture_at_a_time_converts_once_as_much_was_lost_as_that_costs(
    monkeypatch: pytest.MonkeyPatch, loading: float, engines: str
) -> None:
    """Converting takes 0.6 s and a little for its weights; the first run had to load the model."""
    clock = Clock(monkeypatch)
    is_loaded = True
    monkeypatch.setattr(GraphBackbone, "is_loaded", property(lambda self: is_loaded))
    monkeypatch.setattr(GraphBackbone, "__call__", make_zeros)
    monkeypatch.setattr(speed, "compare_speeds", None)  # With nothing left, it is not worth it.
    backbone = load_model(MINI)
    remember("one", backbone)

    def load() -> Backbone:
        clock.advance(loading)
        return backbone

    def run(one: Backbone | None) -> str:
        assert one is not None
        fast = AcceleratedBackbone(one, num_images=1)
        fast(pixels_for(backbone, 1), ["embedding"])
        expected = 0.0 if one is backbone else loading
        assert fast.choosing.loading == pytest.approx(expected, abs=0.25)
        return str(fast.run_facts["engine"])

    first, *following = engines.split()
    assert run(backbone) == first
    assert [run(recall("one", load)) for _ in following] == following
    other = AcceleratedBackbone(backbone, num_images=1)
    other(pixels_for(backbone, 1), ["block4_pool"])
    assert other.run_facts["engine"] == "tensorflow"  # Other layers are another network.


def make_zeros(
    backbone: GraphBackbone, images: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    return {name: np.zeros((len(images), 256), np.float32) for name in names}


def test_only_who_says_that_no_more_pictures_will_come_goes_on_without_converting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counts: list[int | None] = []

    def note(trial: Trial, *others: Any) -> bool:
        counts.append(trial.num_images)
        return False

    monkeypatch.setattr(choosing, "is_worth_converting", note)
    monkeypatch.setattr(GraphBackbone, "__call__", make_means)
    pictures = pixels_for(load_model(MINI), 3)
    featx.embed(pictures, MINI)
    featx.Extractor(MINI)(pictures)
    store = tmp_path / "features.h5"
    featx.extract(pictures, MINI, output=store)
    featx.search(pictures[:2], features=store)
    assert counts == [3, None, 3, 2]


def make_means(
    backbone: GraphBackbone, images: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    means = images.mean(axis=(1, 2), dtype=np.float32)
    return {name: np.resize(means.T, (256, len(images))).T for name in names}


@pytest.mark.parametrize("seconds", [-1.0, "many", None, [1]])
def test_a_loss_that_cannot_be_is_none(
    seconds: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backbone = load_model(MINI)
    trial = Trial(backbone, ("embedding",), pixels_for(backbone, 1), 1)
    keep_lost_seconds(trial, 2.5)
    assert find_lost_seconds(trial) == 2.5
    (path,) = (tmp_path / "cache" / "lost").iterdir()
    remember_facts("lost", path.stem, {"seconds": seconds})
    assert find_lost_seconds(trial) == 0.0


# ---- precisions ----


class LosesBrightPictures(OpenVinoNetwork):
    """bfloat16 that spoils bright pictures only."""

    def __init__(self, model: Any, settings: NetworkSettings, block: int) -> None:
        super().__init__(model, settings, block)
        self._is_lossy = settings.precision == "bfloat16"

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        results = super().__call__(pixels)
        if self._is_lossy:
            bright = pixels.mean(axis=(1, 2, 3)) > 128
            for rows in results.values():
                rows[bright] = rows[bright, ::-1]
        return results


def write_pictures(folder: Path, brightness: Sequence[int]) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number, value in enumerate(brightness):
        pixels = random.integers(value - 20, value + 20, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def _bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has it, and no mixed precision."""

    def prepare(engine: OpenVino, model: Any, precision: str) -> Any:
        if precision == "mixed":
            raise NotConvertible("it is left out here")
        return model

    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: True)
    monkeypatch.setattr(OpenVino, "prepare", prepare)


@pytest.mark.usefixtures("_bfloat16")
def test_a_folder_on_which_the_remembered_precision_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No compared row goes below 0.999, though the first pictures are like those of before."""
    monkeypatch.setattr("featx.engines.openvino.OpenVinoNetwork", LosesBrightPictures)
    monkeypatch.chdir(tmp_path)
    dark = write_pictures(tmp_path / "dark", [60] * 20)
    other = write_pictures(tmp_path / "other", [60] * 10 + [200] * 10)
    program = Program(monkeypatch, capsys)
    shown = program("extract", str(dark), "-o", "dark.h5", "--json")
    assert "engine openvino in bfloat16" in shown.err
    assert last_run("dark.h5")["precision"] == "bfloat16"

    shown = program("extract", str(other), "-o", "other.h5", "--json")
    assert "bfloat16 suited other pictures, and keeps a cosine of only" in shown.err
    assert "they are computed in float32" in shown.err
    run = last_run("other.h5")
    assert (run["precision"], run["compared_precision"]) == ("float32", "bfloat16")
    assert run["lowest_cosine"]["embedding"] < 0.999
    featx.extract(other, output="exact.h5", precision="float32")
    with featx.open_store("other.h5") as store, featx.open_store("exact.h5") as exact:
        np.testing.assert_array_equal(store.features()[:], exact.features()[:])

    program("extract", str(dark), "-o", "again.h5")  # Compared anew: it was forgotten.
    run = last_run("again.h5")
    assert (run["precision"], run["compared_images"]) == ("bfloat16", 8 + 1)


@pytest.mark.usefixtures("_bfloat16")
def test_a_check_that_cannot_be_made_lets_everything_be_chosen_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_pictures(tmp_path / "dark", [60] * 20)
    featx.extract(folder, output=tmp_path / "first.h5")

    def fail(candidate: Candidate, model: Any, fast: Choice) -> Agreement:
        raise NotConvertible("no memory")

    monkeypatch.setattr(Candidate, "_check", fail)
    featx.extract(folder, output=tmp_path / "second.h5")
    run = last_run(str(tmp_path / "second.h5"))
    assert (run["precision"], run["compared_images"]) == ("bfloat16", 4 + 1)
    with (
        featx.open_store(tmp_path / "first.h5") as first,
        featx.open_store(tmp_path / "second.h5") as second,
    ):
        np.testing.assert_array_equal(first.features()[:], second.features()[:])


@pytest.mark.usefixtures("_bfloat16")
def test_parts_that_are_written_before_anything_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold failures and copies, and do not say what computes; the run does in the end."""
    monkeypatch.setattr("featx.engines.openvino.OpenVinoNetwork", LosesBrightPictures)
    monkeypatch.setattr(running, "PartWriter", partial(PartWriter, max_seconds=0.0))
    dark = write_pictures(tmp_path / "dark", [60] * 20)
    other = write_pictures(tmp_path / "other", [60] * 10 + [200] * 10)
    for folder in (dark, other):
        (folder / "000.png").write_bytes(b"no picture")
    featx.extract(dark, output=tmp_path / "dark.h5", listener=Notes())
    run = last_run(str(tmp_path / "dark.h5"))
    assert (run["precision"], run["computed"]) == ("bfloat16", 19)

    first_parts = []
    real = Candidate._check

    def check_later(candidate: Candidate, model: Any, fast: Choice) -> Agreement:
        with featx.open_store(list_parts(tmp_path / "other.h5.parts")[0]) as part:
            first_parts.append(dict(part.header.runs[0]))
        return real(candidate, model, fast)

    monkeypatch.setattr(Candidate, "_check", check_later)
    featx.extract(other, output=tmp_path / "other.h5", listener=Notes())
    assert [(run["computed"], "precision" in run) for run in first_parts] == [(0, False)]
    run = last_run(str(tmp_path / "other.h5"))
    assert (run["precision"], run["computed"]) == ("float32", 19)


@pytest.mark.usefixtures("_bfloat16")
def test_what_computes_is_not_said_before_its_precision_is_checked(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "dark", [60] * 20)
    featx.extract(photos, output=tmp_path / "first.h5")
    fast = AcceleratedBackbone(load_model(MINI))
    pixels = pixels_for(fast)
    fast.compute_unsettled(pixels, [fast.default_layer or ""])
    assert fast.run_facts == {}
    assert fast.settle()
    assert (fast.run_facts["precision"], fast.run_facts["compared_images"]) == ("bfloat16", 1)


def last_run(store: str) -> dict[str, Any]:
    with featx.open_store(store) as opened:
        return dict(opened.header.runs[-1])


# ---- seconds ----


class Clock:
    """The real clock, which some work puts forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        real = time.perf_counter
        monkeypatch.setattr(time, "perf_counter", lambda: real() + self._ahead)
        self._monkeypatch = monkeypatch

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def slow_down(self, owner: Any, name: str, seconds: float) -> None:
        real = getattr(owner, name)

        def slow(*arguments: Any, **options: Any) -> Any:
            self._ahead += seconds
            return real(*arguments, **options)

        self._monkeypatch.setattr(owner, name, slow)


@pytest.mark.usefixtures("_bfloat16")
def test_loading_converting_comparing_and_computing_are_timed_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    clock.slow_down(preparing, "load_model", 1000)
    clock.slow_down(OpenVino, "convert", 2000)
    clock.slow_down(candidates, "compare_precisions", 4000)
    clock.slow_down(BatchQueue, "get", 8000)  # Taking a result of the network: once for a batch.
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos", [60] * 12)
    program = Program(monkeypatch, capsys)
    report = json.loads(program("extract", "photos", "--batch-size", "8", "--json").out)
    spent = {name: round(seconds / 1000) for name, seconds in report["seconds"].items()}
    assert spent == {
        "load": 1, "convert": 2, "compare": 4, "choose": 6, "read": 0, "compute": 16, "write": 0,
    }  # fmt: skip
    # Four of twelve images were computed after the choice, in the time of both batches.
    assert report["images_per_second"] == pytest.approx(4 / 16000, rel=0.01)

    run = last_run("features.h5")
    for name, seconds in (("loading", 1), ("converting", 2), ("comparing", 4), ("choosing", 6)):
        assert round(run[f"{name}_seconds"] / 1000) == seconds
    shown = program("info", "features.h5").out
    assert re.search(
        r"before that: loading the model 1,?0\d\d\.\d s, converting it 2,?0\d\d\.\d s, "
        r"comparing 4,?0\d\d\.\d s",
        " ".join(shown.split()),
    )


def test_the_first_pictures_are_computed_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 on one engine there is nothing to compare, though all is chosen with the first."""
    Clock(monkeypatch).slow_down(OpenVinoNetwork, "__call__", 1000)
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos", [60] * 12)
    options: Any = {"engine": "openvino", "precision": "float32", "batch_size": 8}
    spent = featx.extract("photos", **options).seconds
    assert (round(spent["compute"] / 1000), round(spent["compare"] / 1000)) == (2, 0)
    assert round(last_run("features.h5")["comparing_seconds"] / 1000) == 0


@pytest.mark.usefixtures("_bfloat16")
def test_waiting_for_a_check_is_comparing_not_computing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos", [60] * 8)
    featx.extract("photos", output="first.h5")
    Clock(monkeypatch).slow_down(PendingCheck, "wait", 1000)
    spent = featx.extract("photos", output="second.h5").seconds
    assert (round(spent["compute"] / 1000), round(spent["compare"] / 1000)) == (0, 1)
    assert round(last_run("second.h5")["comparing_seconds"] / 1000) == 1
