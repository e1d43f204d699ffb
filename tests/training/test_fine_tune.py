"""Fine-tuning from pictures to a network, and what can be done with it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.deploy.keras_model import build_keras_model
from featx.errors import HeadError, InvalidValue, ModelError, TrainingError, UnknownName
from featx.models import restore_model
from featx.models.keras_settings import build_apart
from featx.training.run_folder import RunFolder
from tests.cli.program import Program
from tests.training.world import CLASSES, make_network, write_pictures

SHORT: dict[str, Any] = {
    "top_epochs": 0,
    "epochs": 1,
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "batch_size": 16,
    "schedule": "constant",
    "augment": "none",
    "near_duplicates": "off",
    "engine": "tensorflow",
    "precision": "float32",
}
LONGER = SHORT | {"top_epochs": 1, "epochs": 2}


@dataclasses.dataclass(frozen=True)
class World:
    pictures: Path
    network: Path
    report: featx.FineTuneReport

    @property
    def run(self) -> Path:
        return Path(self.report.output)


class Stop(featx.Listener):
    """Ends a run behind an epoch, as Ctrl-C does."""

    def __init__(self, epoch: int) -> None:
        self.notes: list[str] = []
        self._epoch = epoch

    def note(self, text: str) -> None:
        self.notes.append(text)

    def start(self, total: int, what: str) -> None:
        if what.startswith(f"images, epoch {self._epoch} "):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tuning")
    pictures = write_pictures(folder / "pictures")
    network = make_network(folder / "net.keras")
    report = featx.fine_tune(pictures, model=network, output=folder / "run", **SHORT)
    return World(pictures, network, report)


@pytest.fixture(scope="module")
def store(world: World) -> Path:
    store = world.pictures.parent / "features.h5"
    featx.extract(world.pictures, model=world.network, layers=["hidden"], output=store)
    return store


def load(path: Path) -> Any:
    import keras

    return keras.models.load_model(path)


def weights_of(path: Path) -> list[np.ndarray]:
    return list(load(path).get_weights())


def test_the_top_replaces_the_networks_own_last_layer(world: World) -> None:
    report = world.report
    assert (report.layer, report.kind, report.classes) == ("hidden", "linear", CLASSES)
    assert report.trained == ("first", "second", "hidden")
    assert [epoch.phase for epoch in report.history] == ["start", "network"]
    assert report.num_train + report.num_val + report.comparison.count == 54


def test_the_comparison_is_of_the_same_pictures(world: World) -> None:
    report = world.report
    assert report.held_out.keys == report.held_out_before.keys
    assert report.comparison.before == report.before.accuracy
    assert report.comparison.after == report.after.accuracy == report.held_out.right.mean()


@pytest.mark.slow
def test_the_network_is_a_model_of_featx_and_its_top_a_head(world: World) -> None:
    keys, own = world.report.held_out.keys, world.report.held_out.confidence
    paths = [world.pictures / key for key in keys]
    as_model = featx.predict(
        paths, model=world.report.model, labels=world.report.labels, precision="float32"
    )
    as_head = featx.predict(paths, head=world.report.head, precision="float32")
    for predictions in (as_model.predictions, as_head.predictions):
        found = {str(Path(one.path)): one for one in predictions}
        ordered = [found[str(path)] for path in paths]
        classes = [CLASSES[number] for number in world.report.held_out.predicted]
        assert [one.classes[0] for one in ordered] == classes
        np.testing.assert_allclose([one.probabilities[0] for one in ordered], own, atol=1e-5)


@pytest.mark.slow
def test_the_head_is_exported_with_its_network(world: World) -> None:
    head = featx.load_head(world.report.head)
    backbone = restore_model(head.model)
    model = build_apart(lambda: build_keras_model(head, backbone))
    keys = world.report.held_out.keys
    pixels = np.stack([np.asarray(Image.open(world.pictures / key)) for key in keys])
    found = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(found.max(axis=1), world.report.held_out.confidence, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), world.report.held_out.predicted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "library"), [("f.tflite", "ai_edge_litert"), ("f.onnx", "tf2onnx")]
)
def test_a_run_is_exported_in_other_forms(
    world: World, tmp_path: Path, name: str, library: str
) -> None:
    pytest.importorskip(library)
    exported = featx.export_head(world.report.head, output=tmp_path / name)
    assert exported.comparison.is_within(1e-4)
    assert (exported.comparison.source, exported.comparison.changed) == ("store", 0)
    assert exported.comparison.accuracy == world.report.after.accuracy


@pytest.mark.slow
def test_commands_take_what_a_run_leaves(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    program = Program(monkeypatch, capfd)
    monkeypatch.chdir(tmp_path)
    model, query = world.report.model, world.pictures / "red" / "3.png"

    exported = program("export-head", world.report.head, "-o", "whole.keras", "--json")
    extracted = program("extract", world.pictures, "-m", model, "--layer", "network", "-o", "t.h5")
    found = program("search", query, "--features", "t.h5", "-k", 3, "--json")

    assert exported.status == 0, exported.err
    compared = json.loads(exported.out)["comparison"]
    assert (compared["source"], compared["changed"]) == ("store", 0)
    assert compared["labelled"] == world.report.comparison.count
    assert compared["accuracy"] == world.report.after.accuracy
    pixels = np.asarray(Image.open(query))[np.newaxis]
    np.testing.assert_allclose(
        load(tmp_path / "whole.keras")(pixels), load(Path(model))(pixels), atol=1e-5
    )
    assert extracted.status == 0, extracted.err
    with featx.open_store("t.h5") as store:
        assert store["network"].shape == (54, 8)
    assert found.status == 0, found.err
    match = json.loads(found.out.splitlines()[0])
    assert match["key"] == "red/3.png"
    assert match["score"] == pytest.approx(1, abs=1e-4)


def test_keras_alone_loads_the_network(world: World) -> None:
    import keras

    model = keras.models.load_model(world.report.model)
    assert model.input_shape == (None, 16, 16, 3)
    assert Path(world.report.labels).read_text(encoding="utf-8").split() == list(CLASSES)
    answers = model.predict(np.zeros((2, 16, 16, 3), np.uint8), verbose=0)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert all(layer.trainable for layer in model.get_layer("network").layers)


@pytest.mark.slow
def test_the_same_call_again_has_nothing_to_train(world: World) -> None:
    stopped = Stop(1)
    again = featx.fine_tune(
        world.pictures, model=world.network, output=world.run, listener=stopped, **SHORT
    )
    assert again.history == world.report.history
    assert (again.before, again.after) == (world.report.before, world.report.after)


@pytest.mark.slow
def test_an_interrupted_run_keeps_its_best_and_ends_like_an_undisturbed_one(
    world: World, tmp_path: Path
) -> None:
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    expected = featx.fine_tune(world.pictures, model=world.network, output=undisturbed, **LONGER)
    assert [epoch.phase for epoch in expected.history] == ["start", "top", "network", "network"]
    stop = Stop(3)
    with pytest.raises(KeyboardInterrupt):
        featx.fine_tune(world.pictures, model=world.network, output=run, listener=stop, **LONGER)
    assert (run / "model.keras").is_file()
    assert (run / "head" / "head.json").is_file()
    assert "the best network so far" in stop.notes[-1]
    assert f"head={str(run / 'head')!r}" in stop.notes[-1]
    report = featx.fine_tune(world.pictures, model=world.network, output=run, **LONGER)
    untimed = [
        [dataclasses.replace(one, seconds=0.0, input_share=0.0) for one in each.history]
        for each in (report, expected)
    ]
    assert untimed[0] == untimed[1]
    pairs = zip(*(weights_of(each / "model.keras") for each in (run, undisturbed)), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_other_settings_and_other_pictures_are_refused(world: World, tmp_path: Path) -> None:
    run = shutil.copytree(world.run, tmp_path / "run")
    changed = SHORT | {"learning_rate": 0.5}
    with pytest.raises(TrainingError, match=r"learning_rate 0\.003, not 0\.5"):
        featx.fine_tune(world.pictures, model=world.network, output=run, **changed)
    fewer = shutil.copytree(world.pictures, tmp_path / "pictures")
    (fewer / "red" / "0.png").unlink()
    with pytest.raises(TrainingError, match="images, labels or splits have changed"):
        featx.fine_tune(fewer, model=world.network, output=run, **SHORT)
    before = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert before["best"] == world.report.best


def test_a_damaged_run_says_so_and_is_begun_again(world: World, tmp_path: Path) -> None:
    run = shutil.copytree(world.run, tmp_path / "run")
    (run / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match="damaged or missing.*overwrite=True"):
        featx.fine_tune(world.pictures, model=world.network, output=run, **SHORT)
    folder = RunFolder(run)
    assert not folder.open({"seed": 0}, overwrite=True)
    assert sorted(path.name for path in run.iterdir()) == ["run.json"]


def test_a_folder_of_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(TrainingError, match="not a run of fine-tuning; it is left alone"):
        featx.fine_tune(world.pictures, model=world.network, output=tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run(world: World, tmp_path: Path) -> None:
    wild = SHORT | {"optimizer": "sgd", "learning_rate": 1e20, "top_epochs": 0}
    with pytest.raises(TrainingError, match="learning rate of 1e.20.*learning_rate"):
        featx.fine_tune(world.pictures, model=world.network, output=tmp_path / "run", **wild)


def test_what_a_head_says_is_not_said_again(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="Received: neither"):
        featx.fine_tune(tmp_path)
    with pytest.raises(InvalidValue, match="Received: both"):
        featx.fine_tune(tmp_path, head="head", model="builtin:mini")
    with pytest.raises(InvalidValue, match="those of the head. Received: head= and layer="):
        featx.fine_tune(tmp_path, head="head", layer="relu")
    with pytest.raises(InvalidValue, match="head=, pool= and interpolation="):
        featx.fine_tune(tmp_path, head="head", pool="max", interpolation="box")


def test_pictures_without_two_classes_are_refused(world: World, tmp_path: Path) -> None:
    write_pictures(tmp_path / "one", 4, classes=("red",))
    with pytest.raises(HeadError, match="at least two classes"):
        featx.fine_tune(tmp_path / "one", model=world.network, output=tmp_path / "run", **SHORT)


def test_a_generator_is_refused(world: World, tmp_path: Path) -> None:
    pictures = (np.zeros((16, 16, 3), np.uint8) for _ in range(4))
    with pytest.raises(InvalidValue, match="another order in each epoch"):
        featx.fine_tune(pictures, model=world.network, output=tmp_path / "run")


def test_a_model_that_is_no_network_of_keras_is_refused(
    world: World, toy: str, tmp_path: Path
) -> None:
    run = shutil.copytree(world.run, tmp_path / "run")
    for overwrite in (True, False):
        output = run if overwrite else tmp_path / "new"
        with pytest.raises(ModelError, match=r"cannot be trained: .*fit a head on its frozen fea"):
            featx.fine_tune(world.pictures, model=toy, output=output, overwrite=overwrite)
    assert RunFolder(run).read_report() is not None, "a finished run was cleared"


def test_layers_are_looked_for_before_features_are_computed(world: World, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'secnod'"):
        featx.fine_tune(
            world.pictures, model=world.network, output=tmp_path / "run", freeze="secnod"
        )
    assert not (tmp_path / "run" / "features.h5").exists()


@pytest.mark.slow
class TestHeads:
    """Runs that begin with a head."""

    @pytest.mark.parametrize("kind", ["linear", "mlp", "lda", "ridge", "knn", "centroid"])
    def test_each_kind_is_a_start(
        self, world: World, store: Path, tmp_path: Path, kind: str
    ) -> None:
        featx.fit_head(store, output=tmp_path / "head", kind=kind, near_duplicates="off")
        report = featx.fine_tune(
            world.pictures, head=tmp_path / "head", output=tmp_path / "run", **SHORT
        )
        assert report.frozen_kind == kind
        assert report.kind == ("mlp" if kind == "mlp" else "linear")
        tuned = featx.load_head(report.head)
        assert tuned.classes == CLASSES

    def test_other_classes_than_the_heads_are_refused(
        self, world: World, store: Path, tmp_path: Path
    ) -> None:
        featx.fit_head(store, output=tmp_path / "head", kind="linear", near_duplicates="off")
        others = write_pictures(tmp_path / "pictures", 4, classes=("blue", "green", "grey"))
        with pytest.raises(HeadError, match=r"no image of 'red' and images of 'grey'"):
            featx.fine_tune(others, head=tmp_path / "head", output=tmp_path / "run", **SHORT)


@pytest.mark.slow
class TestNetworks:
    """Networks of other kinds."""

    def test_one_channel_and_more_classes(self, tmp_path: Path) -> None:
        classes = tuple(f"digit {number}" for number in range(5))
        pictures = write_pictures(tmp_path / "pictures", 12, classes=classes, channels=1)
        network = make_network(tmp_path / "net.keras", channels=1)
        report = featx.fine_tune(pictures, model=network, output=tmp_path / "run", **SHORT)
        assert report.classes == classes
        assert featx.predict(pictures, model=report.model).predictions

    def test_layers_of_a_nested_network_have_their_paths(
        self, world: World, tmp_path: Path
    ) -> None:
        network = make_network(tmp_path / "net.keras", nested=True)
        report = featx.fine_tune(
            world.pictures,
            model=network,
            output=tmp_path / "run",
            unfreeze="body/second",
            **SHORT,
        )
        assert report.trained == ("body/second", "hidden")

    def test_a_file_of_keras_2(self, world: World, tmp_path: Path) -> None:
        import tf_keras

        layers = tf_keras.layers
        model = tf_keras.Sequential(
            [
                layers.Input((16, 16, 3)),
                layers.Rescaling(1 / 255),
                layers.Conv2D(4, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(4),
            ]
        )
        model.save(tmp_path / "net.h5")
        report = featx.fine_tune(
            world.pictures, model=tmp_path / "net.h5", output=tmp_path / "run", **SHORT
        )
        assert report.layer == "flatten"

    @pytest.mark.parametrize("augment", [None, "flip,colour", "randaugment"])
    def test_augmentations_and_the_other_options(
        self, world: World, tmp_path: Path, augment: str | None
    ) -> None:
        more = SHORT | {
            "epochs": 2,
            "optimizer": "adamw",
            "schedule": "cosine",
            "weight_decay": 0.01,
            "augment": augment,
        }
        report = featx.fine_tune(
            world.pictures,
            model=world.network,
            output=tmp_path / "run",
            label_smoothing=0.1,
            mixed_precision=True,
            train_batch_norm=True,
            class_weight="balanced",
            patience=1,
            **more,
        )
        assert "norm" in report.trained
        assert report.history[-1].learning_rate < 3e-3
        assert all(array.dtype == np.float32 for array in weights_of(Path(report.model)))


@pytest.fixture(scope="module")
def table(world: World) -> Path:
    """Write labels and numbers of the pictures, which their classes say."""
    random = np.random.default_rng(0)
    lines = ["path,tags,year"]
    for picture in sorted(world.pictures.rglob("*.png")):
        place = CLASSES.index(picture.parent.name)
        tags = "|".join(name for name, on in (("cold", place < 2), ("mid", place == 1)) if on)
        lines.append(f"{picture},{tags},{1900 + 40 * place + random.normal():.2f}")
    table = world.pictures.parent / "table.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


@pytest.mark.slow
class TestTasks:
    """Several labels for each picture, and a number."""

    @pytest.mark.parametrize("start", ["network", "head"])
    @pytest.mark.parametrize("task", ["multi", "regression"])
    def test_what_is_learned_is_predicted_by_head_and_export(
        self, world: World, table: Path, tmp_path: Path, task: str, start: str
    ) -> None:
        learned: Any = {"label_columns": ["tags"]} if task == "multi" else {"target": "year"}
        begin: dict[str, Any] = {"model": world.network} | learned
        if start == "head":
            features, head = tmp_path / "f.h5", tmp_path / "head"
            featx.extract(table, model=world.network, layers=["hidden"], output=features)
            featx.fit_head(features, output=head, kind="knn", **learned)
            begin = {"head": head}
        report = featx.fine_tune(table, output=tmp_path / "run", **begin, **LONGER)

        assert (report.task, report.frozen_kind == "knn") == (task, start == "head")
        assert report.kind == ("linear" if task == "multi" else "ridge")
        assert report.comparison.before != report.comparison.after
        keys = [str(world.pictures.parent / key) for key in report.held_out.keys]
        predicted = featx.predict(keys, head=report.head, precision="float32").predictions
        by_path = {one.path: one for one in predicted}
        own: Any = report.held_out
        for row, key in enumerate(keys):
            one = by_path[key]
            if task == "multi":
                assert one.labels is not None
                assert sorted(one.labels) == [
                    name for name, on in zip(own.classes, own.predicted[row], strict=True) if on
                ]
            else:
                assert one.number == pytest.approx(own.predicted[row], abs=1e-2)
        if task == "regression":
            with pytest.raises(ModelError, match=r"but a number: 'year'\. .*head='.*head'"):
                featx.predict(keys[0], model=report.model)
        exported = featx.export_head(report.head, output=tmp_path / "whole.keras")
        assert exported.comparison.is_within(1e-5)
        assert Path(report.output, "labels.txt").exists() is (task == "multi")

    def test_what_a_head_predicts_is_not_said_again(
        self, world: World, table: Path, tmp_path: Path
    ) -> None:
        features, head = tmp_path / "f.h5", tmp_path / "head"
        featx.extract(table, model=world.network, layers=["hidden"], output=features)
        featx.fit_head(features, output=head, kind="ridge", target="year")
        with pytest.raises(InvalidValue, match="what the head predicts. Received: head="):
            featx.fine_tune(table, head=head, target="year", output=tmp_path / "run")
        with pytest.raises(InvalidValue, match="label_smoothing= is for classes and labels"):
            featx.fine_tune(table, head=head, label_smoothing=0.1, output=tmp_path / "run")
        with pytest.raises(HeadError, match="mlp cannot learn numbers"):
            featx.fine_tune(
                table, model=world.network, kind="mlp", target="year", output=tmp_path / "run"
            )


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_epochs(world: World, tmp_path: Path) -> None:
    run, listener = tmp_path / "run", Stop(99)
    options = LONGER | {"schedule": "cosine"}
    first = featx.fine_tune(world.pictures, model=world.network, output=run, **options)
    more = featx.fine_tune(
        world.pictures,
        model=world.network,
        output=run,
        listener=listener,
        **options | {"epochs": 4},
    )
    assert more.history[: len(first.history)] == first.history
    assert [epoch.number for epoch in more.history] == [0, 1, 2, 3, 4, 5]
    assert any("begins anew at 0.003 and falls to 0 again" in note for note in listener.notes)
    rates = [epoch.learning_rate for epoch in more.history]
    assert rates[2] > rates[3] < rates[4] > rates[5]
    with pytest.raises(TrainingError, match="epochs 4, not 2"):
        featx.fine_tune(world.pictures, model=world.network, output=run, **options)


@pytest.mark.slow
def test_a_run_that_brought_nothing_ends_with_the_frozen_head(world: World, tmp_path: Path) -> None:
    harmful = SHORT | {"optimizer": "sgd", "learning_rate": 3.0}
    report = featx.fine_tune(
        world.pictures, model=world.network, output=tmp_path / "run", **harmful
    )
    assert report.best == 0
    assert report.after == report.before
    keys = [world.pictures / key for key in report.held_out.keys]
    for start in ({"head": report.head}, {"model": report.model, "labels": report.labels}):
        found = featx.predict(keys, precision="float32", **start).predictions
        by_path = {one.path: one.probabilities[0] for one in found}
        np.testing.assert_allclose(
            [by_path[str(key)] for key in keys], report.held_out.confidence, atol=1e-5
        )
