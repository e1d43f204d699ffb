from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx import input_spec
from featx.errors import InvalidValue, UnknownName
from featx.input_spec import ChannelOrder, InputSpec
from featx.options import InputOptions
from featx.poolings import POOLINGS
from featx.specs import FeatureSpec, ModelSpec, digest, format_reference, identity_differences

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BYTES = st.integers(0, 255)

INPUTS = st.builds(
    InputSpec,
    height=st.integers(1, 4000),
    width=st.integers(1, 4000),
    channels=st.just(3),
    scaling=st.sampled_from([None, *get_args(input_spec.Scaling)]),
    channel_order=st.sampled_from(get_args(ChannelOrder)),
    resize=st.sampled_from(get_args(input_spec.Resize)),
    interpolation=st.sampled_from(get_args(input_spec.Interpolation)),
    exif=st.sampled_from(get_args(input_spec.Exif)),
    background=st.tuples(BYTES, BYTES, BYTES),
) | st.builds(
    InputSpec,
    height=st.integers(1, 4000),
    width=st.integers(1, 4000),
    channels=st.just(1),
    scaling=st.sampled_from([None, "tf", "unit", "raw"]),
)

ARGUMENTS = st.dictionaries(
    NAMES,
    st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | NAMES,
    max_size=3,
).map(lambda arguments: tuple(sorted(arguments.items())))

MODELS = st.builds(
    ModelSpec,
    source=st.sampled_from(["keras", "file", "savedmodel"]),
    name=NAMES,
    arguments=ARGUMENTS,
    location=NAMES,
    weights_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    input=INPUTS,
)

FEATURES = st.builds(
    FeatureSpec,
    name=NAMES,
    kind=st.sampled_from(["layer", "output", "tensor"]),
    pool=st.sampled_from(POOLINGS.names),
    shape=st.lists(st.integers(1, 10_000), min_size=1, max_size=4).map(tuple),
)

MODEL = ModelSpec(
    source="keras",
    name="MobileNet",
    arguments=(("alpha", 0.25),),
    location="imagenet",
    weights_sha256="ab" * 32,
    input=InputSpec(224, 224, scaling="tf"),
)
FEATURE = FeatureSpec("conv_pw_13_relu", "layer", "avg", (256,))


def through_json(data: dict[str, Any]) -> Any:
    return json.loads(json.dumps(data))


# ---- round trips ----


@given(INPUTS)
def test_inputs_survive_json(spec: InputSpec) -> None:
    assert InputSpec.from_dict(through_json(spec.to_dict())) == spec


@given(MODELS)
def test_models_survive_json_with_their_fingerprint(spec: ModelSpec) -> None:
    restored = ModelSpec.from_dict(through_json(spec.to_dict()))
    assert restored == spec
    assert restored.fingerprint == spec.fingerprint
    assert restored.reference == spec.reference


@given(FEATURES, MODELS)
def test_features_survive_json_with_their_fingerprint(spec: FeatureSpec, model: ModelSpec) -> None:
    restored = FeatureSpec.from_dict(through_json(spec.to_dict()))
    assert restored == spec
    assert restored.fingerprint(model) == spec.fingerprint(model)


def test_fields_of_a_newer_version_are_passed_over() -> None:
    newer: dict[str, Any] = {"gamma": 2.2}
    assert InputSpec.from_dict(MODEL.input.to_dict() | newer) == MODEL.input
    assert FeatureSpec.from_dict(FEATURE.to_dict() | newer) == FEATURE
    assert ModelSpec.from_dict(MODEL.to_dict() | newer) == MODEL


def test_a_model_is_written_as_plain_data() -> None:
    assert MODEL.to_dict() == {
        "source": "keras",
        "name": "MobileNet",
        "arguments": {"alpha": 0.25},
        "location": "imagenet",
        "weights_sha256": "ab" * 32,
        "input": {
            "height": 224,
            "width": 224,
            "channels": 3,
            "scaling": "tf",
            "channel_order": "rgb",
            "resize": "stretch",
            "interpolation": "bilinear",
            "exif": "apply",
            "background": [255, 255, 255],
            "decode": "fast",
        },
    }


# ---- identity ----

OTHER_INPUTS: dict[str, Any] = {
    "height": 223,
    "width": 223,
    "scaling": "raw",
    "channel_order": "bgr",
    "resize": "crop",
    "interpolation": "nearest",
    "exif": "ignore",
    "background": (255, 255, 254),
    "decode": "exact",
}


@pytest.mark.parametrize("field", OTHER_INPUTS)
def test_the_fingerprint_changes_with_every_field_of_the_input(field: str) -> None:
    other = replace(MODEL, input=replace(MODEL.input, **{field: OTHER_INPUTS[field]}))
    assert other.fingerprint != MODEL.fingerprint
    assert FEATURE.fingerprint(other) != FEATURE.fingerprint(MODEL)
    assert [name for name, _, _ in identity_differences(MODEL.identity(), other.identity())] == [
        f"input.{field}"
    ]


def test_the_fingerprint_changes_with_the_number_of_channels() -> None:
    grey = replace(MODEL, input=replace(MODEL.input, channels=1))
    assert grey.fingerprint != MODEL.fingerprint


def test_every_field_of_the_input_is_covered_here() -> None:
    assert {*OTHER_INPUTS, "channels"} == set(MODEL.input.to_dict())


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"weights_sha256": "cd" * 32}, ["weights_sha256"]),
        ({"name": "MobileNetV2"}, ["model"]),
        ({"arguments": (("alpha", 0.5),)}, ["model"]),
        ({"arguments": ()}, ["model"]),
        ({"source": "file"}, ["model"]),
    ],
)
def test_the_fingerprint_changes_with_the_model(
    changes: dict[str, Any], differing: list[str]
) -> None:
    other = replace(MODEL, **changes)
    assert other.fingerprint != MODEL.fingerprint
    assert FEATURE.fingerprint(other) != FEATURE.fingerprint(MODEL)
    differences = identity_differences(MODEL.identity(), other.identity())
    assert [name for name, _, _ in differences] == differing


@pytest.mark.parametrize(
    "changes", [{"name": "conv_pw_12_relu"}, {"pool": "max"}, {"shape": (7, 7, 256)}]
)
def test_the_fingerprint_changes_with_the_feature(changes: dict[str, Any]) -> None:
    other = replace(FEATURE, **changes)
    assert other.fingerprint(MODEL) != FEATURE.fingerprint(MODEL)


@pytest.mark.parametrize("source", ["keras", "file", "savedmodel"])
def test_the_fingerprint_does_not_change_with_the_place(source: str) -> None:
    model = replace(MODEL, source=source)
    assert replace(model, location="/elsewhere").fingerprint == model.fingerprint


@pytest.mark.parametrize("source", ["file", "savedmodel"])
def test_files_are_known_by_their_content_alone(source: str) -> None:
    model = replace(MODEL, source=source, name="/a/model.keras", arguments=())
    assert replace(model, name="/b/renamed.keras").fingerprint == model.fingerprint


def test_the_fingerprint_stays_the_same_from_version_to_version() -> None:
    # Written down once: if this changes, every store, head and index is refused.
    expected = {
        "model": "keras:MobileNet,alpha=0.25",
        "weights_sha256": "ab" * 32,
        "input.height": 224,
        "input.width": 224,
        "input.channels": 3,
        "input.scaling": "tf",
        "input.channel_order": "rgb",
        "input.resize": "stretch",
        "input.interpolation": "bilinear",
        "input.exif": "apply",
        "input.background": [255, 255, 255],
    }
    # What was stored before there was a choice was decoded exactly.
    exact = replace(MODEL, input=replace(MODEL.input, decode="exact"))
    assert exact.identity() == expected
    assert MODEL.identity() == expected | {"input.decode": "fast"}
    assert exact.fingerprint == FINGERPRINT
    assert FEATURE.identity() == {"layer": "conv_pw_13_relu", "pool": "avg", "shape": [256]}
    assert FEATURE.fingerprint(exact) == FEATURE_FINGERPRINT


FINGERPRINT = "9a9c09e339bec1e31b6e6fee5084769d37547c043d9b8a5421ba10678b97afea"
FEATURE_FINGERPRINT = "37c0b56863c3597d3024427027db62a66ce2178c94ce0466cd345e9448475415"


def test_a_digest_is_that_of_compact_sorted_utf8() -> None:
    # printf '{"a":"ä","b":[1,null]}' | sha256sum
    assert (
        digest({"b": [1, None], "a": "ä"})
        == "e4caa232016484a6396284455390402a812bfdd2be394296225426cebe5d05ad"
    )


def test_differences_name_each_field_once_in_order() -> None:
    expected = {"layer": "a", "pool": "avg", "gone": 1}
    received = {"pool": "max", "layer": "a", "new": 2}
    assert identity_differences(expected, received) == [
        ("pool", "avg", "max"),
        ("gone", 1, None),
        ("new", None, 2),
    ]


# ---- references ----


def test_references() -> None:
    assert MODEL.reference == "keras:MobileNet,alpha=0.25"
    assert replace(MODEL, arguments=()).reference == "keras:MobileNet"
    arguments = (("alpha", 1.0), ("include_top", True), ("weights", None))
    assert format_reference("keras", "X", arguments) == (
        "keras:X,alpha=1.0,include_top=True,weights=None"
    )


# ---- the input contract ----


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, "at least 1 x 1 pixel. Received: 0 x 8"),
        ({"width": -3}, "at least 1 x 1 pixel. Received: 8 x -3"),
        ({"channels": 65}, "1 to 64 channels. Received: a model with 65 input channels"),
        ({"channels": 4, "scaling": "caffe"}, "Received: a model with 4 input channels"),
        ({"channels": 1, "scaling": "torch"}, "defined for colour images"),
        ({"channels": 1, "channel_order": "bgr"}, "defined for colour images"),
    ],
)
def test_impossible_contracts_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        InputSpec(**({"height": 8, "width": 8} | fields))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scaling": "cafe"}, "no preprocessing named 'cafe'. Did you mean caffe?"),
        ({"channel_order": "grb"}, "no channel order named 'grb'"),
        ({"resize": "squash"}, "Choose stretch, crop or pad."),
        ({"interpolation": "bilinea"}, "Did you mean bilinear?"),
        ({"exif": "maybe"}, "Choose apply or ignore."),
    ],
)
def test_unknown_choices_are_refused_with_the_known(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        InputSpec(**({"height": 8, "width": 8} | fields))
    assert message in str(caught.value)


# ---- overrides ----


@given(INPUTS)
def test_no_overrides_change_nothing(contract: InputSpec) -> None:
    assert InputOptions().apply(contract) == contract


@pytest.mark.parametrize("preprocess", get_args(input_spec.Scaling))
@pytest.mark.parametrize("before", ["rgb", "bgr"])
def test_a_named_scaling_brings_its_channel_order(
    preprocess: input_spec.Scaling, before: ChannelOrder
) -> None:
    contract = InputSpec(8, 8, scaling="tf", channel_order=before)
    changed = InputOptions(preprocess=preprocess).apply(contract)
    assert changed.scaling == preprocess
    assert changed.channel_order == ("bgr" if preprocess == "caffe" else "rgb")


def test_an_explicit_channel_order_wins() -> None:
    contract = InputSpec(8, 8, scaling="tf")
    assert InputOptions(preprocess="caffe", channel_order="rgb").apply(contract) == InputSpec(
        8, 8, scaling="caffe", channel_order="rgb"
    )
    assert InputOptions(channel_order="bgr").apply(contract) == InputSpec(
        8, 8, scaling="tf", channel_order="bgr"
    )


def test_every_override_is_applied_and_the_rest_is_kept() -> None:
    contract = InputSpec(8, 9, scaling="torch", background=(1, 2, 3))
    overrides = InputOptions(
        img_size=(30, 40), resize="pad", interpolation="lanczos", exif="ignore"
    )
    assert overrides.apply(contract) == InputSpec(
        30,
        40,
        scaling="torch",
        resize="pad",
        interpolation="lanczos",
        exif="ignore",
        background=(1, 2, 3),
    )


def test_overrides_are_checked() -> None:
    with pytest.raises(UnknownName, match="no preprocessing named 'tensorflow'"):
        InputOptions(preprocess="tensorflow")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="no resize rule named 'fit'"):
        InputOptions(resize="fit").apply(MODEL.input)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="each at least 1"):
        InputOptions(img_size=(0, 8)).apply(MODEL.input)


@pytest.mark.parametrize("shape", [None, [None], [2, None], ["2"], [True], [-1], "12", {"0": 1}])
def test_a_shape_that_a_file_gives_is_a_list_of_whole_numbers(shape: object) -> None:
    with pytest.raises(TypeError, match="shape"):
        FeatureSpec.from_dict(FEATURE.to_dict() | {"shape": shape})


@pytest.mark.parametrize("background", [None, [0, 0, None], [0.5, 0, 0], "000"])
def test_a_background_that_a_file_gives_is_a_list_of_whole_numbers(background: object) -> None:
    with pytest.raises(TypeError, match="background"):
        InputSpec.from_dict(MODEL.input.to_dict() | {"background": background})
