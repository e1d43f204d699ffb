"""What ``featx models`` and ``featx layers`` show: tables for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from featx.input_spec import InputSpec
from featx.models.backbone import Layer
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.report import drawing
from featx.report.layers import show_layers
from featx.specs import ModelSpec
from tests.cli.program import Program
from tests.models.model_files import write_graph, write_tf1_module, write_tf2_module


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal of 100 columns."""
    monkeypatch.setattr(drawing, "is_terminal", lambda: True)
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(width=100, highlight=False))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def make_backbone(*layers: Layer, notes: tuple[str, ...] = ()) -> GraphBackbone:
    spec = ModelSpec("hub", "net", (), "/net", "ab", InputSpec(32, 32, scaling="unit"))
    return GraphBackbone(ModelDescription(spec, layers, notes=notes), lambda _: lambda _: {})


def test_models_by_glob(featx: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    shown = featx("models", "mobilenetv3*").out.splitlines()
    assert shown[0].split() == [
        "model", "input", "vector", "parameters", "weights", "on", "disk"
    ]  # fmt: skip
    large = "keras:MobileNetV3Large 224×224 960 5.5 M 22.0 MB no: downloaded once"
    assert " ".join(shown[2].split()) == large
    assert len(shown) == 4
    everything = featx("models").out
    assert "builtin:mini" in everything
    assert "precision@10" in everything
    assert max(map(len, everything.splitlines())) <= 100
    assert "Did you mean VGG19" in featx("models", "vgg91").err


def test_models_as_json(featx: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    entries = lines(featx("models", "--json").out)
    assert len(entries) == 41
    assert entries[0]["measurements"][0]["extractor"] == "MobileNetV2 1.0"
    assert entries[0]["on_disk"] is True
    vgg = next(entry for entry in entries if entry["reference"] == "keras:VGG16")
    assert vgg == {
        "reference": "keras:VGG16",
        "size": 224,
        "parameters": 138.4,
        "width": 512,
        "megabytes": 528,
        "on_disk": False,
        "location": str(tmp_path / "models/vgg16_weights_tf_dim_ordering_tf_kernels.h5"),
    }


def test_kinds_have_headings_and_details_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    backbone = make_backbone(
        Layer("net/conv", "tensor", "Conv2D", None, (16, 16, 8), is_detail=True),
        Layer("net/relu", "tensor", "Relu", None, (16, 16, 8), parameters=216),
        Layer("default", "endpoint", "Mean", None, (8,), parameters=216),
        notes=("called",),
    )
    show_layers(backbone, backbone.features()[1:])
    assert capsys.readouterr().out.splitlines() == [
        "layer        type   shape     stride   parameters   per image",
        "─────────────────────────────────────────────────────────────",
        "tensors",
        "  net/relu   Relu   16×16×8        2          216      8.2 kB",
        "",
        "endpoints",
        "  default    Mean   8                         216        32 B",
        "2 of 3 layers of hub:net, input 32×32×3, preprocessing unit",
        "1 more, steps inside layers: all= lists them",
        "called",
    ]


def test_what_differs_has_a_column_and_what_does_not_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frozen = Layer("a", "layer", "Conv2D", 0, (4,), own_parameters=1000, trainable=False)
    other = Layer("b", "layer", "Dense", 1, (4,), own_parameters=7, trainable=True)
    half, full = replace(frozen, dtype="float16"), replace(other, dtype="float32")
    show_layers(make_backbone(half, full), [half, full])
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == [
        "index", "layer", "type", "shape", "dtype", "stride", "trainable", "own", "parameters",
        "per", "image",
    ]  # fmt: skip
    assert out[2].split() == ["0", "a", "Conv2D", "4", "float16", "no", "1,000", "16", "B"]
    assert out[3].split() == ["1", "b", "Dense", "4", "float32", "yes", "7", "16", "B"]
    assert out[4].endswith("preprocessing unit")
    show_layers(make_backbone(half), [half])
    out = capsys.readouterr().out.splitlines()
    assert not {"dtype", "trainable"} & set(out[0].split())
    assert out[3].endswith("preprocessing unit, float16, not trainable")


def test_a_tree_for_what_lies_inside(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["stem", "body/block1/conv", "body/block1/relu", "body/block2/relu", "body", "head"]
    backbone = make_backbone(*(Layer(n, "layer", "L", i, (4,)) for i, n in enumerate(names)))
    show_layers(backbone, backbone.features(), tree=True)
    shown = [line[8:].split("  L")[0].rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown[2:-1] == [
        "stem",
        "body",
        "  block1/",
        "    conv",
        "    relu",
        "  block2/relu",
        "head",
    ]


def test_a_terminal_gets_a_tree_where_names_are_long(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a_rather_long_scope/of_a_network/block_{i}_expand_relu/Relu6" for i in (1, 2)]
    backbone = make_backbone(*(Layer(n, "tensor", "Relu6", None, (112, 112, 64)) for n in names))
    show_layers(backbone, backbone.features())
    out = capsys.readouterr().out
    assert "  block_1_expand_relu/Relu6 " in out
    assert max(map(len, out.splitlines()[:-1])) <= 100


@pytest.mark.tensorflow
def test_layers_of_a_module(featx: Program, tmp_path: Path) -> None:
    module = write_tf2_module(tmp_path / "tf2", size=None)
    shown = featx("layers", f"hub:{module}", "--img-size", "32x16")
    assert shown.status == 0
    assert shown.err == ""
    assert "endpoints" in shown.out
    assert "16×8×4" in shown.out
    assert "block1/conv" not in shown.out
    assert "block1/conv" in featx("layers", f"hub:{module}", "--img-size", "32", "--all").out
    usual = featx("layers", f"hub:{module}").out
    assert "input 224×224×3" in usual
    assert "takes images of any size; --img-size chooses it" in usual


@pytest.mark.tensorflow
def test_a_signature_is_an_option_of_layers_and_extract(
    featx: Program, photos: Path, tmp_path: Path
) -> None:
    module = write_tf1_module(tmp_path / "tf1")
    option = ("--signature", "image_feature_vector")
    listed = lines(featx("layers", f"hub:{module}", *option, "--json").out)
    assert [layer["name"] for layer in listed if layer["kind"] == "output"] == [
        "net/block1",
        "default",
    ]
    done = featx("extract", "-m", f"hub:{module}", *option, "--layer", "net/*,default")
    assert done.status == 0, done.err
    layers = {feature["layer"] for feature in lines(featx("info", "--json").out)[0]["features"]}
    assert layers == {"net/block1", "default"}
    again = featx("extract", "-m", f"hub:{module},signature=image_feature_vector",
                  "--layer", "net/*,default")  # fmt: skip
    assert "12 already there" in again.out
    lost = featx("extract", "--signature", "x")
    assert "--signature goes with a model of your own: name it with -m" in lost.err


@pytest.mark.tensorflow
def test_layers_of_a_frozen_graph(featx: Program, tmp_path: Path) -> None:
    path = write_graph(tmp_path / "graph.pb")
    shown = featx("layers", path, "--all")
    assert "signature outputs" in shown.out
    assert "block1/conv" in shown.out
    assert "choose with --preprocess" in shown.out
