"""Heads are exported with their models, and compared before they are believed."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.deploy.card import describe_comparison, write_card
from featx.deploy.checking import ExportComparison, compare
from featx.errors import ExportError, FeatxError, HeadError
from tests.cli.program import Program
from tests.deploy.pictures import make_head, write_noise

FORMS = {"keras": "flowers.keras", "savedmodel": "flowers", "tflite": "f.tflite", "onnx": "f.onnx"}
LIBRARY = {"tflite": "ai_edge_litert", "onnx": "tf2onnx"}


@pytest.mark.parametrize(
    ("output", "quantize", "said"),
    [
        (
            "flowers.h5",
            "none",
            "ends in .keras, .tflite or .onnx, or, without an ending, to a folder",
        ),
        ("flowers.keras", "int8", "Only .tflite files are quantised"),
        ("flowers", "float16", "Only .tflite files are quantised"),
        ("flowers.tflite", "int4", "There is no quantisation named 'int4'"),
    ],
)
def test_what_cannot_be_is_refused(output: str, quantize: Any, said: str) -> None:
    with pytest.raises(FeatxError, match=re.escape(said)):
        featx.export_head("head", output=output, quantize=quantize)


@pytest.fixture
def head() -> featx.Head:
    return make_head()


def test_what_exists_is_left_alone(head: featx.Head, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "flowers.keras").write_text("mine")
    (tmp_path / "labels.txt").write_text("others\n")

    (tmp_path / "letter").write_text("mine")
    with pytest.raises(ExportError, match=r"letter' exists, and is no folder. Choose another"):
        featx.export_head(head, output=tmp_path / "letter", overwrite=True)
    with pytest.raises(ExportError, match=r"letter' is no folder. Choose another"):
        featx.export_head(head, output=tmp_path / "letter/flowers.keras")
    for name in ("full", "flowers.keras", "other.tflite"):
        for overwrite in (False, True):
            if overwrite and name != "full":
                continue
            with pytest.raises(ExportError, match="exists"):
                featx.export_head(head, output=tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "flowers.keras").read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(head: featx.Head, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="there is no folder"):
        featx.export_head(head, output=tmp_path / "no/flowers.keras")


def test_a_name_that_is_too_long_is_said(head: featx.Head, tmp_path: Path) -> None:
    for name in ("x" * 300, f"{'x' * 300}.keras"):
        with pytest.raises(ExportError, match=r"File name too long. Choose another path"):
            featx.export_head(head, output=tmp_path / name)


def test_a_folder_in_the_place_of_the_labels_is_left_alone(
    head: featx.Head, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").mkdir()
    with pytest.raises(ExportError, match=r"labels.txt' is a folder, .* beside 'flowers.keras'"):
        featx.export_head(head, output=tmp_path / "flowers.keras", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_a_model_that_is_gone_is_named(tmp_path: Path) -> None:
    head = make_head(location=str(tmp_path / "gone.keras"))

    with pytest.raises(featx.errors.ModelError, match=r"was at '.*gone.keras'; nothing is there"):
        featx.export_head(head, output=tmp_path / "flowers.keras")
    assert list(tmp_path.iterdir()) == []


@dataclass
class One:
    label: str | None = None
    is_fitted: bool = False


def test_comparing_counts_changed_answers(head: featx.Head) -> None:
    before = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    after = np.array([[0.4, 0.6], [0.3, 0.7], [0.8, 0.2]])

    found = compare(head, [One(), One(), One()], before, after)  # type: ignore[list-item]

    assert (found.pictures, found.changed) == (3, 1)
    assert found.difference == pytest.approx(0.2)
    assert found.accuracy is None


def test_accuracy_is_that_on_pictures_not_fitted_on_or_else_on_the_others(head: featx.Head) -> None:
    before = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    after = np.array([[0.4, 0.6], [0.3, 0.7], [0.8, 0.2]])
    first, second = head.classes
    fitted = [One(first, True), One(second, True), One(None)]

    seen = compare(head, fitted, before, after)  # type: ignore[arg-type]
    unseen = compare(head, [*fitted[:2], One(first)], before, after)  # type: ignore[list-item]

    assert (seen.labelled, seen.accuracy, seen.accuracy_before) == (2, 0.5, 1.0)
    assert (unseen.labelled, unseen.accuracy, unseen.is_fitted) == (1, 1.0, False)
    assert "on 2 of them, all of which the head was fitted on: 0.5" in describe_comparison(seen)
    assert "on 1 of them that the head was not fitted on: 1.0" in describe_comparison(unseen)


def test_numbers_are_compared_by_how_large_they_are_and_nan_never_agrees(head: featx.Head) -> None:
    years = replace(head, classes=(), task="regression", columns=("year",))
    before = np.array([[1987.1234], [-2004.5]], np.float32)
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])

    last_digit = compare(years, ["a", "b"], before, before + np.float32(2e-4))  # type: ignore[list-item]
    other = compare(years, ["a", "b"], before, before + 1)  # type: ignore[list-item]

    assert last_digit.largest == 2004.5
    assert last_digit.is_within(1e-5)
    assert not other.is_within(1e-5)
    for change, expected in ((1e-6, True), (2e-5, False), (np.nan, False)):
        found = compare(head, [One(), One()], probabilities, probabilities + change)  # type: ignore[list-item]
        assert found.is_within(1e-5) is expected
    assert not ExportComparison(1, "drawn", 0.0, 0, reload_difference=np.nan).is_within(1e-5)


def test_a_card_escapes_names_of_classes() -> None:
    head = make_head(("*a*", "<b>\n# c"))

    card = write_card(head, "keras", "x.keras", "none", ExportComparison(1, "drawn", 0.0, 0))

    assert "- \\*a\\*" in card
    assert "- \\<b\\> \\# c" in card


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("export") / "photos")


@pytest.fixture(scope="module")
def fitted(photos: Path) -> Path:
    folder = photos.parent
    featx.extract(photos, model="builtin:mini", output=folder / "f.h5")
    featx.fit_head(folder / "f.h5", output=folder / "head", kind="lda")
    return folder / "head"


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_what_predict_says_and_its_card_calls_it(
    form: str,
    fitted: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if form in LIBRARY:
        pytest.importorskip(LIBRARY[form])
    monkeypatch.chdir(tmp_path)

    report = featx.export_head(fitted, output=FORMS[form])

    comparison = report.comparison
    assert (report.form, comparison.source, comparison.pictures) == (form, "store", 12)
    assert comparison.changed == 0
    assert comparison.difference <= (1e-5 if form in ("keras", "savedmodel") else 1e-4)
    assert comparison.reload_difference == (0 if form in ("keras", "savedmodel") else None)
    assert report.labels is not None
    assert Path(report.labels).read_text() == "dark\nlight\n"
    text = Path(report.card).read_text()
    assert featx.load_head(fitted).fingerprint in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    picture = next(photos.rglob("*.png"))
    Image.open(picture).save("photo.jpg", quality=100, subsampling=0)
    capsys.readouterr()
    exec(code.group(1), {"__name__": "card"})
    assert re.search(r"\d", capsys.readouterr().out)
    assert sorted(path.name[0] for path in tmp_path.iterdir() if path.name[0] == ".") == []


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("quantize", ["float16", "int8"])
def test_a_quantised_file_is_smaller_and_says_what_it_costs(
    quantize: Any, fitted: Path, photos: Path, tmp_path: Path
) -> None:
    whole = featx.export_head(fitted, output=tmp_path / "whole.tflite", check=photos)

    small = featx.export_head(
        fitted, output=tmp_path / "small.tflite", check=photos, quantize=quantize
    )

    assert small.bytes < whole.bytes * (0.6 if quantize == "float16" else 0.35)
    assert small.comparison.difference < 0.2
    assert f"quantised to {quantize}" in Path(small.card).read_text()


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_served_model_takes_json_and_files(fitted: Path, photos: Path, tmp_path: Path) -> None:
    import tensorflow

    featx.export_head(fitted, output=tmp_path / "flowers")
    shown = subprocess.run(
        [
            Path(sys.executable).with_name("saved_model_cli"),
            "show",
            "--dir",
            tmp_path / "flowers",
            "--all",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (
        "inputs['images'] tensor_info:\n        dtype: DT_UINT8\n        shape: (-1, -1, -1, 3)"
        in shown
    )
    assert "inputs['image_bytes'] tensor_info:\n        dtype: DT_STRING" in shown
    for name in ("probabilities", "label", "label_index"):
        assert f"outputs['{name}']" in shown
    signatures = tensorflow.saved_model.load(tmp_path / "flowers").signatures
    files = sorted(photos.rglob("*.png"))[:3]
    # What TensorFlow Serving makes of {"instances": [{"b64": ...}]}: strings from base64.
    body = json.dumps(
        {"instances": [{"b64": base64.b64encode(file.read_bytes()).decode()} for file in files]}
    )
    data = [base64.b64decode(one["b64"]) for one in json.loads(body)["instances"]]
    served = signatures["serving_bytes"](image_bytes=tensorflow.constant(data))
    expected = featx.predict([str(file) for file in files], head=fitted, top=2).predictions
    by_path = {each.path: each for each in expected}
    for row, file in enumerate(files):
        ours = by_path[str(file)]
        assert served["label"].numpy()[row].decode() == ours.classes[0]
        assert served["probabilities"].numpy()[row].max() == pytest.approx(
            ours.probabilities[0], abs=1e-5
        )
    pixels = json.loads(json.dumps({"instances": [np.asarray(Image.open(files[0])).tolist()]}))
    one = signatures["serving_default"](
        images=tensorflow.constant(pixels["instances"], tensorflow.uint8)
    )
    assert (one["probabilities"].numpy()[0] == served["probabilities"].numpy()[0]).all()


@pytest.mark.slow
@pytest.mark.tensorflow
def test_an_exported_keras_file_is_a_model_for_featx(
    fitted: Path, photos: Path, tmp_path: Path
) -> None:
    featx.export_head(fitted, output=tmp_path / "whole.keras")
    options = {"decode": "exact"}

    ours = featx.predict(photos, head=fitted, top=2)
    found = featx.predict(
        photos, model=tmp_path / "whole.keras", labels=tmp_path / "labels.txt", top=2, **options
    )

    for one, other in zip(ours.predictions, found.predictions, strict=True):
        assert one.classes == other.classes
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    features = featx.embed(photos, model=tmp_path / "whole.keras", layer=-2, **options)
    assert len(features) == len(ours.predictions)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("task", ["multi", "regression"])
def test_labels_and_numbers_are_exported(task: str, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    lines = ["path,tags,size"]
    for number, file in enumerate(sorted(photos.rglob("*.png"))):
        tags = "|".join(name for name, every in (("a", 2), ("b", 3)) if number % every == 0)
        # Of numbers so large, the last digit of a float32 is 1e-4.
        lines.append(f"{file},{tags},{2000 + number}")
    table.write_text("\n".join(lines) + "\n")
    featx.extract(table, model="builtin:mini", output=tmp_path / "f.h5")
    chosen: dict[str, Any] = {"label_columns": ["tags"]} if task == "multi" else {"target": "size"}
    for kind in ("ridge", "knn"):
        if task == "multi" and kind == "ridge":
            kind = "linear"
        folder = tmp_path / kind
        featx.fit_head(tmp_path / "f.h5", output=folder, kind=kind, **chosen)

        report = featx.export_head(folder, output=tmp_path / f"{kind}_model", check=photos)

        assert report.comparison.is_within(1e-5)
        assert report.comparison.difference < 1e-5 * (1 if task == "multi" else 2020)
        assert (report.labels is None) == (task == "regression")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_graph_is_a_saved_model_and_no_keras_file(photos: Path, tmp_path: Path) -> None:
    from tests.models.model_files import SIZE, write_tf1_module, write_tf2_module

    write_tf2_module(tmp_path / "module", size=SIZE)
    write_tf1_module(tmp_path / "tf1")
    for name in ("module", "tf1"):
        store = tmp_path / f"{name}.h5"
        featx.extract(photos, model=f"hub:{tmp_path / name}", preprocess="unit", output=store)
        featx.fit_head(store, output=tmp_path / f"{name}_head", kind="lda")

        with pytest.raises(HeadError, match=r"is a graph.*a folder, for a SavedModel"):
            featx.export_head(tmp_path / f"{name}_head", output=tmp_path / "graph.keras")
        report = featx.export_head(tmp_path / f"{name}_head", output=tmp_path / f"{name}_out")

        assert report.comparison.changed == 0
        assert report.comparison.reload_difference == 0
        assert len(list_copies(tmp_path / f"{name}_out")) == 1
    assert not (tmp_path / "graph.keras").exists()


def list_copies(folder: Path) -> list[str]:
    """Return the functions of a SavedModel that hold the constants of its network."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return [
        function.signature.name
        for graph in model.meta_graphs
        for function in graph.graph_def.library.function
        if any(node.op == "Conv2D" for node in function.node_def)
    ]


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("network", ["any batch", "batch of one", "channels last", "old", "new"])
def test_a_head_on_an_onnx_model_is_an_onnx_file(
    network: str, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tf2onnx")
    path, layer = write_onnx_network(network, tmp_path / "net.onnx"), "block"
    if network == "channels last":
        layer = "back"
    features, head = tmp_path / "f.h5", tmp_path / "head"
    featx.extract(photos, model=path, layers=[layer], preprocess="torch", output=features)
    for kind in ("linear", "knn"):
        featx.fit_head(features, output=head, kind=kind)

        report = featx.export_head(head, output=tmp_path / f"{kind}.onnx")

        assert (report.comparison.pictures, report.comparison.changed) == (12, 0)
        assert report.comparison.difference < 1e-5
    for other, named in (("m.keras", "a Keras model"), ("m.tflite", "a TFLite model")):
        with pytest.raises(HeadError, match=rf"cannot be made {named}. .*output='OUT.onnx'"):
            featx.export_head(head, output=tmp_path / other)


def write_onnx_network(kind: str, path: Path) -> Path:
    """Write a small network in a form that exporters have."""
    import onnx
    from onnx import version_converter

    from tests.models import onnx_files

    if kind == "channels last":
        return onnx_files.write_channels_last(path)
    size = onnx_files.SIZE
    onnx_files.write_residual(path, (1 if kind == "batch of one" else "N", 3, size, size))
    if kind in ("old", "new"):
        model = onnx.load(path)
        del model.opset_import[1:]
        if kind == "new":
            model = version_converter.convert_version(model, 21)
        else:
            model.opset_import[0].version = 11  # All that it has was in it.
        onnx.save(model, path)
    return path


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_converter_of_int8_is_quiet(
    fitted: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    program = Program(monkeypatch, capfd)

    outcome = program(
        "export-head", str(fitted), "-o", str(tmp_path / "m.tflite"), "--quantize", "int8"
    )

    assert outcome.status == 0, outcome.err
    assert "fully_quantize" not in outcome.err
    assert not re.search(r"^[WIE]\d{4} ", outcome.err, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_command_says_what_was_measured(
    fitted: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    program = Program(monkeypatch, capfd)

    outcome = program("export-head", str(fitted), "-o", str(tmp_path / "out"))

    assert outcome.status == 0, outcome.err
    assert "Compared with featx predict on 12 photographs of its store" in outcome.out
    assert "0 changed answers" in outcome.out
    again = program("export-head", str(fitted), "-o", str(tmp_path / "out"))
    assert again.status == 1
    assert "exists and is not empty" in again.err
