from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import AmbiguousName, FeatxError, InvalidValue, ModelError, UnknownName
from featx.input_spec import InputSpec
from featx.models.contracts import APPLICATIONS
from featx.models.reference import add_arguments, locate_again, parse_reference
from featx.models.sources import SOURCES
from featx.specs import ModelSpec, format_reference
from featx.testing.toy import ToySource


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: bare names are looked up there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


# ---- with a source ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("keras:VGG19", ("keras", "VGG19", {})),
        ("keras:MobileNet,alpha=0.25", ("keras", "MobileNet", {"alpha": 0.25})),
        (
            "keras:MobileNet,alpha=1,include_top=True,classes=10",
            ("keras", "MobileNet", {"alpha": 1, "include_top": True, "classes": 10}),
        ),
        ("keras: MobileNet , alpha = 0.5 ", ("keras", "MobileNet", {"alpha": 0.5})),
        ("keras:VGG16,pooling=avg", ("keras", "VGG16", {"pooling": "avg"})),
        ("keras:VGG16,pooling='avg'", ("keras", "VGG16", {"pooling": "avg"})),
        ("keras:VGG16,pooling=None", ("keras", "VGG16", {"pooling": None})),
        ("keras:VGG16,name=a=b", ("keras", "VGG16", {"name": "a=b"})),
        ("keras:VGG16,name=", ("keras", "VGG16", {"name": ""})),
        ("keras:VGG16,name=-x", ("keras", "VGG16", {"name": "-x"})),
        ("file:no/such.keras", ("file", "no/such.keras", {})),
        ("savedmodel:exported", ("savedmodel", "exported", {})),
        ("savedmodel:C:\\models\\a", ("savedmodel", "C:\\models\\a", {})),
        ("file:model:v2.keras", ("file", "model:v2.keras", {})),
    ],
)
def test_a_source_before_the_name(text: str, expected: tuple[str, str, dict[str, Any]]) -> None:
    parsed = parse_reference(text)
    assert parsed == expected
    assert [type(value) for value in parsed[2].values()] == [
        type(value) for value in expected[2].values()
    ]


@pytest.mark.parametrize("name", ["a,b.keras", "net,alpha=1.keras"])
def test_an_existing_path_may_contain_commas(here: Path, name: str) -> None:
    (here / name).write_bytes(b"")
    assert parse_reference(f"file:{name}") == ("file", name, {})
    assert parse_reference(name) == ("file", name, {})


def test_arguments_after_an_existing_path(here: Path) -> None:
    (here / "net.keras").write_bytes(b"")
    assert parse_reference("file:net.keras,compile=False") == (
        "file",
        "net.keras",
        {"compile": False},
    )


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_every_application_can_be_named_with_and_without_source(name: str) -> None:
    assert parse_reference(f"keras:{name}") == ("keras", name, {})
    assert parse_reference(name) == ("keras", name, {})


def test_a_source_registered_later_is_understood() -> None:
    with pytest.raises(UnknownName):
        parse_reference("mine:net,size=3")
    SOURCES.add("mine", ToySource())
    try:
        assert parse_reference("mine:net,size=3") == ("mine", "net", {"size": 3})
    finally:
        SOURCES.remove("mine")


# ---- without a source ----


def test_a_bare_application_may_have_arguments() -> None:
    assert parse_reference("MobileNetV2,alpha=0.35") == ("keras", "MobileNetV2", {"alpha": 0.35})


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5", "NET.KERAS", "a b/net.H5"])
def test_a_bare_path_of_a_model_file(here: Path, name: str) -> None:
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).write_bytes(b"")
    assert parse_reference(name) == ("file", name, {})
    assert parse_reference(str(here / name)) == ("file", str(here / name), {})


def test_a_bare_path_of_a_saved_model(here: Path) -> None:
    folder = saved_model(here / "exported")
    assert parse_reference("exported") == ("savedmodel", "exported", {})
    assert parse_reference(f"{folder}/") == ("savedmodel", f"{folder}/", {})
    assert parse_reference("./exported") == ("savedmodel", "./exported", {})


# ---- several readings ----


def test_a_folder_named_like_an_application_is_ambiguous(here: Path) -> None:
    saved_model(here / "VGG19")
    with pytest.raises(AmbiguousName) as caught:
        parse_reference("VGG19")
    assert str(caught.value) == (
        "'VGG19' can mean keras:VGG19 or savedmodel:VGG19. Write one of these."
    )
    assert parse_reference("keras:VGG19") == ("keras", "VGG19", {})
    assert parse_reference("savedmodel:VGG19") == ("savedmodel", "VGG19", {})
    assert parse_reference("./VGG19") == ("savedmodel", "./VGG19", {})


def test_a_folder_without_a_model_does_not_make_a_name_ambiguous(here: Path) -> None:
    (here / "VGG19").mkdir()
    assert parse_reference("VGG19") == ("keras", "VGG19", {})


# ---- no reading ----


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("keras:VGG91", "VGG19"),
        ("keras:mobilenetv2", "MobileNetV2"),
        ("keras:ResNet-50", "ResNet50"),
        ("keras:EfficientNetV2B", "EfficientNetV2B"),
    ],
)
def test_a_mistyped_application_is_corrected(text: str, suggestion: str) -> None:
    with pytest.raises(UnknownName) as caught:
        parse_reference(text)
    assert str(caught.value).startswith(
        f"There is no Keras application named {text.removeprefix('keras:')!r}. Did you mean "
    )
    assert caught.value.suggestions[0].startswith(suggestion)
    assert caught.value.name == text.removeprefix("keras:")


def test_a_bare_mistyped_name_is_corrected_and_the_forms_are_named() -> None:
    with pytest.raises(UnknownName) as caught:
        parse_reference("vgg19,classes=3")
    assert str(caught.value) == (
        "There is no model named 'vgg19'. Did you mean VGG19 or VGG16? Name a Keras application "
        "(for example keras:MobileNetV2), a .keras, .h5 or .hdf5 file, a SavedModel folder "
        "(or a zip archive of one), a model's page on tfhub.dev or kaggle.com, a .pb file or an "
        ".onnx file."
    )


def test_nothing_alike_gives_no_suggestions() -> None:
    with pytest.raises(UnknownName) as caught:
        parse_reference("zzzzzz")
    assert caught.value.suggestions == ()
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("text", ["hug:google/x", "Keras:VGG19", "models/missing.keras", ""])
def test_what_cannot_be_read_at_all(text: str) -> None:
    with pytest.raises(UnknownName, match=r"There is no model named"):
        parse_reference(text)


@pytest.mark.parametrize("source", ["keras", "file", "savedmodel"])
def test_a_source_without_a_name(source: str) -> None:
    with pytest.raises(InvalidValue, match=f"A model name follows '{source}:'"):
        parse_reference(f"{source}:")


@pytest.mark.parametrize("name", ["photo.jpg", "weights.ckpt"])
def test_an_existing_file_that_is_no_model(here: Path, name: str) -> None:
    (here / name).write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        parse_reference(name)
    assert str(caught.value) == (
        f"{name!r} is not a model that featx can read. Expected: a Keras application (for example "
        "keras:MobileNetV2), a .keras, .h5 or .hdf5 file, a SavedModel folder (or a zip archive of "
        "one), a model's page on tfhub.dev or kaggle.com, a .pb file or an .onnx file."
    )


def test_a_folder_with_models_in_it_names_them(here: Path) -> None:
    (here / "download" / "saved").mkdir(parents=True)
    for name in ("saved/saved_model.pb", "keras_model.h5", "labels.txt"):
        (here / "download" / name).write_bytes(b"")
    with pytest.raises(ModelError, match=r"is a folder that holds 'keras_model\.h5' and 'saved'\."):
        parse_reference("download")


def test_arguments_may_follow_a_path_with_commas(here: Path) -> None:
    (here / "a,b.pb").write_bytes(b"")
    expected = ("graphdef", "a,b.pb", {"input": "x"})
    assert parse_reference("a,b.pb,input=x") == expected
    assert parse_reference("graphdef:a,b.pb,input=x") == expected


@pytest.mark.parametrize("reference", ["keras:VGG19", "net.keras", "hub:https://tfhub.dev/a/b/1"])
def test_options_become_arguments(here: Path, reference: str) -> None:
    (here / "net.keras").write_bytes(b"")
    assert add_arguments(reference, signature=None, trust_model_code=False) == reference
    text = add_arguments(reference, signature="image_feature_vector", trust_model_code=True)
    arguments = {"signature": "image_feature_vector", "trust_model_code": True}
    assert parse_reference(text)[2] == arguments


def test_an_existing_folder_that_is_no_model(here: Path) -> None:
    (here / "photos.keras").mkdir()
    with pytest.raises(ModelError, match=r"'photos\.keras' is not a model"):
        parse_reference("photos.keras")


@pytest.mark.parametrize(
    "text",
    [
        "MobileNet,alpha",
        "keras:MobileNet,",
        "keras:MobileNet,=3",
        "keras:MobileNet,1a=3",
        ",",
        "a,,b=1",
    ],
)
def test_malformed_arguments(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_reference(text)
    assert "',argument=value'" in str(caught.value)
    assert f" in {text.removeprefix('keras:')!r}" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "{[]:1}",
        "((((",
        "1_",
        "lambda: 3",
        "__import__('os')",
        "'",
        "9" * 5000,
        "-" * 3000 + "1",
        "a\0b",
    ],
)
def test_a_value_that_is_no_literal_is_text(value: str) -> None:
    assert parse_reference(f"file:net.keras,x={value}") == ("file", "net.keras", {"x": value})


@pytest.mark.parametrize("text", ["a" * 300, "a/" * 3000, "net\0.keras", "~nobody"])
def test_text_that_cannot_be_a_path_is_an_unknown_name(text: str) -> None:
    with pytest.raises(UnknownName):
        parse_reference(text)
    assert parse_reference(f"file:{text}") == ("file", text, {})


@given(
    st.text(max_size=30) | st.builds("{}:{}".format, st.sampled_from(["keras", "file"]), st.text())
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        source, name, arguments = parse_reference(text)
    except FeatxError:
        return
    assert source in SOURCES
    assert name in text
    assert all(key.isidentifier() for key in arguments)


@given(
    st.sampled_from(sorted(APPLICATIONS)),
    st.dictionaries(
        st.sampled_from(["alpha", "classes", "include_top", "pooling", "dropout"]),
        st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.booleans()
        | st.none()
        | st.sampled_from(["avg", "max"]),
    ),
)
def test_a_written_reference_is_read_back(name: str, arguments: dict[str, Any]) -> None:
    text = format_reference("keras", name, tuple(sorted(arguments.items())))
    parsed = parse_reference(text)
    assert parsed == ("keras", name, arguments)
    assert {key: type(value) for key, value in parsed[2].items()} == {
        key: type(value) for key, value in arguments.items()
    }


def test_reading_a_reference_loads_nothing() -> None:
    script = (
        "import sys; from featx.models.reference import parse_reference\n"
        "parse_reference('keras:MobileNet,alpha=0.25')\n"
        "print({'tensorflow', 'keras', 'h5py', 'faiss'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


APPLICATION = ModelSpec(
    *("keras", "MobileNet", (("alpha", 0.25),), "imagenet", "ab" * 32),
    InputSpec(224, 224, scaling="tf"),
)


@pytest.mark.parametrize(
    ("reference", "location"),
    [
        ("keras:MobileNet,alpha=0.25", None),
        ("MobileNet,alpha=0.25", None),
        ("net.h5", "net.h5"),
        ("moved/net.h5", "moved/net.h5"),
    ],
)
def test_a_model_may_be_named_again(reference: str, location: str | None) -> None:
    Path("net.h5").touch()
    assert locate_again(reference, APPLICATION) == location


@pytest.mark.parametrize("reference", ["keras:VGG16", "MobileNet", "builtin:mini"])
def test_another_model_than_the_recorded_one_is_refused(reference: str) -> None:
    message = f"is 'keras:MobileNet,alpha=0.25'. Received: '{reference}'"
    with pytest.raises(ModelError, match=message):
        locate_again(reference, APPLICATION)
