from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import AmbiguousName, FeatxError, ModelError, UnknownName
from featx.models.backbone import Layer
from featx.models.selection import default_layer, select_layers


def layer(name: str, index: int | None = None, shape: tuple[int | None, ...] = (7, 7, 8)) -> Layer:
    return Layer(name, "layer", "Conv2D", index, shape)


NETWORK = [
    layer("input", 0, (224, 224, 3)),
    layer("block_1_conv", 1),
    layer("block_1_relu", 2),
    layer("backbone/block4a", None),
    layer("backbone/inner/top_conv", None),
    layer("backbone", 3),
    layer("shared#1", 4),
    layer("shared#2", 4),
    layer("split:0", 5),
    layer("split:1", 5),
    layer("block_10_relu", 6),
    layer("gap", 8, (8,)),
    layer("predictions", 9, (10,)),
]
"""Layer 7 is not part of the computation."""


def names(patterns: Sequence[str], layers: Sequence[Layer] = NETWORK) -> list[str]:
    return [found.name for found in select_layers(patterns, layers)]


# ---- exact names ----


def test_exact_names_in_the_order_asked_for() -> None:
    assert names(["gap"]) == ["gap"]
    assert names(["gap", "block_1_conv", "backbone/block4a"]) == [
        "gap",
        "block_1_conv",
        "backbone/block4a",
    ]


def test_the_layer_itself_is_returned() -> None:
    assert select_layers(["gap"], NETWORK) == [Layer("gap", "layer", "Conv2D", 8, (8,))]


def test_each_layer_is_taken_once() -> None:
    assert names(["gap", "gap", "8", "g*", "-2"]) == ["gap"]
    assert names(["predictions", "*"])[0] == "predictions"
    assert sorted(names(["predictions", "*"])) == sorted(found.name for found in NETWORK)


@given(st.sampled_from([found.name for found in NETWORK]))
def test_every_name_finds_its_layer(name: str) -> None:
    assert names([name]) == [name]


@pytest.mark.parametrize("name", ["3", "-1", "conv[1]", "a*b", "what?", "a#1", "a:0", "x/y"])
def test_an_exact_name_comes_before_every_other_reading(name: str) -> None:
    layers = [
        layer("first", 0),
        layer(name, 1),
        layer("conv1", 2),
        layer("ab", 3),
        layer(f"deep/{name}"),
    ]
    assert names([name], layers) == [name]


def test_names_are_case_sensitive_but_suggested_all_the_same() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean gap\?"):
        names(["GAP"])


# ---- indices ----


@pytest.mark.parametrize(
    ("index", "name"),
    [
        ("0", "input"),
        ("3", "backbone"),
        ("+3", "backbone"),
        ("9", "predictions"),
        ("-1", "predictions"),
        ("-2", "gap"),
        ("-4", "block_10_relu"),
        ("-10", "input"),
        ("-0", "input"),
        ("007", None),
        ("08", "gap"),
    ],
)
def test_an_index_counts_the_layers_of_the_model(index: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(UnknownName, match="numbered 0 to 9"):
            names([index])
    else:
        assert names([index]) == [name]


@pytest.mark.parametrize("index", ["10", "-11", "7", "-3", "99999"])
def test_an_index_without_a_layer_names_the_range(index: str) -> None:
    with pytest.raises(UnknownName) as caught:
        names([index])
    assert str(caught.value) == (
        f"There is no layer named '{int(index)}'. The model's layers are numbered 0 to 9, or -10 "
        "to -1 from the end (some may not be part of the computation)."
    )


def test_an_index_of_a_layer_called_twice_is_ambiguous() -> None:
    with pytest.raises(AmbiguousName) as caught:
        names(["4"])
    assert str(caught.value) == "Layer 4 has several results. Choose shared#1 or shared#2."
    with pytest.raises(AmbiguousName, match=r"Layer -5 has several results\. Choose split:0 or"):
        names(["-5"])


def test_an_index_where_layers_have_no_numbers() -> None:
    layers = [layer("conv/Relu"), layer("mean", None, (8,))]
    with pytest.raises(UnknownName, match=r"This model has no layer numbers\. The last ones are"):
        names(["-1"], layers)


# ---- globs ----


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("block_*_relu", ["block_1_relu", "block_10_relu"]),
        ("block_?_relu", ["block_1_relu"]),
        ("block_1[0-9]_*", ["block_10_relu"]),
        ("backbone/*", ["backbone/block4a", "backbone/inner/top_conv"]),
        ("*top_conv", ["backbone/inner/top_conv"]),
        ("shared#*", ["shared#1", "shared#2"]),
        ("split*", ["split:0", "split:1"]),
        ("[!b]*p", ["gap"]),
    ],
)
def test_globs_match_full_names_in_the_order_of_the_network(
    pattern: str, expected: list[str]
) -> None:
    assert names([pattern]) == expected


def test_globs_are_case_sensitive() -> None:
    with pytest.raises(UnknownName):
        names(["BLOCK_*"])


def test_a_glob_that_matches_nothing_says_so() -> None:
    with pytest.raises(UnknownName) as caught:
        names(["conv9_*"])
    assert str(caught.value) == (
        "There is no layer named 'conv9_*'. The pattern matches none of the 13 layers. "
        "The last ones are shared#2, split:0, split:1, block_10_relu, gap, predictions (7 more). "
        "`featx.layers(MODEL)` lists them all."
    )
    assert caught.value.suggestions == ()


def test_one_good_pattern_does_not_hide_a_bad_one() -> None:
    with pytest.raises(UnknownName, match=r"conv9_\*"):
        names(["block_*", "conv9_*"])


# ---- paths into nested models ----


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ("block4a", "backbone/block4a"),
        ("top_conv", "backbone/inner/top_conv"),
        ("inner/top_conv", "backbone/inner/top_conv"),
    ],
)
def test_the_unique_end_of_a_path_is_enough(end: str, name: str) -> None:
    assert names([end]) == [name]


@pytest.mark.parametrize("part", ["4a", "conv", "backbone/inner", "inner", "/block4a"])
def test_only_whole_names_at_the_end_count(part: str) -> None:
    with pytest.raises(UnknownName):
        names([part])


def test_an_end_of_several_paths_is_ambiguous() -> None:
    layers = [layer("left/conv"), layer("right/conv"), layer("right/relu")]
    with pytest.raises(AmbiguousName) as caught:
        names(["conv"], layers)
    assert str(caught.value) == "2 layers end in 'conv'. Choose left/conv or right/conv."
    assert names(["right/conv"], layers) == ["right/conv"]


def test_an_outer_name_comes_before_the_end_of_a_path() -> None:
    assert names(["conv"], [layer("left/conv"), layer("conv"), layer("right/conv")]) == ["conv"]


def test_a_long_list_of_choices_is_cut() -> None:
    layers = [layer(f"branch{number}/conv") for number in range(9)]
    with pytest.raises(AmbiguousName, match="9 layers end in 'conv'") as caught:
        names(["conv"], layers)
    assert "branch5/conv" in str(caught.value)
    assert "branch6/conv" not in str(caught.value)


# ---- several calls, several outputs ----


def test_a_layer_called_twice_is_chosen_by_call() -> None:
    assert names(["shared#2"]) == ["shared#2"]
    with pytest.raises(AmbiguousName) as caught:
        names(["shared"])
    assert str(caught.value) == (
        "The layer 'shared' is called several times. Choose shared#1 or shared#2."
    )


def test_a_layer_with_several_outputs_is_chosen_by_output() -> None:
    assert names(["split:1", "split:0"]) == ["split:1", "split:0"]
    with pytest.raises(AmbiguousName) as caught:
        names(["split"])
    assert str(caught.value) == "The layer 'split' has several outputs. Choose split:0 or split:1."


# ---- unknown names ----


def test_an_unknown_name_is_answered_with_similar_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        names(["block_1_rel"])
    assert caught.value.suggestions[0] == "block_1_relu"
    assert str(caught.value).startswith(
        "There is no layer named 'block_1_rel'. Did you mean block_1_relu"
    )
    assert "`featx.layers(MODEL)` lists them all." in str(caught.value)


def test_short_lists_are_given_whole() -> None:
    with pytest.raises(UnknownName, match=r"The last ones are a, b\. `featx\.layers"):
        names(["zzz"], [layer("a"), layer("b")])


@given(
    st.text(max_size=12) | st.from_regex(r"[-+]?[0-9]{1,4}|[a-z_*?\[\]!#:/]{1,12}", fullmatch=True)
)
def test_any_pattern_finds_layers_or_is_refused(pattern: str) -> None:
    try:
        found = select_layers([pattern], NETWORK)
    except FeatxError as error:
        message = str(error)
        assert message
        return
    assert found
    assert len({id(one) for one in found}) == len(found)
    assert all(one in NETWORK for one in found)


# ---- rows of fixed shape ----


@pytest.mark.parametrize("shape", [(None, None, 8), (7, None, 8), (None,)])
def test_a_row_of_varying_shape_is_refused(shape: tuple[int | None, ...]) -> None:
    layers = [layer("fixed", 0), layer("open", 1, shape)]
    for pattern in ("open", "1", "o*"):
        with pytest.raises(ModelError) as caught:
            names([pattern], layers)
        assert str(caught.value) == (
            f"A feature needs a row of fixed shape. Received: 'open' with shape {shape}. "
            "Give the input size with img_size=, or choose another layer."
        )
    assert names(["fixed"], layers) == ["fixed"]


# ---- the default ----


def test_without_patterns_the_last_feature_map_is_taken() -> None:
    assert names([]) == ["block_10_relu"]
    assert default_layer(NETWORK).name == "block_10_relu"


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(7, 7, 8), (8,)], 0),
        ([(7, 7, 8), (1, 1, 8), (8,)], 0),  # a pooled map of one position is no map
        ([(14, 14, 4), (7, 7, 8)], 1),
        ([(8,), (10,)], 1),
        ([(197, 768), (768,)], 1),
        ([(7, 7, 8), (None, None, 8), (8,)], 0),
        ([(7, 7, 8), (7, None, 8), (8,)], 0),
        ([(7, 7, 8), (7, 7, None), (8,)], 0),
        ([(7, None, 8), (8,), (None,)], 1),
    ],
)
def test_the_default_layer(shapes: list[tuple[int | None, ...]], expected: int) -> None:
    layers = [layer(f"layer{number}", number, shape) for number, shape in enumerate(shapes)]
    assert default_layer(layers).name == f"layer{expected}"
    assert names([], layers) == [f"layer{expected}"]


@pytest.mark.parametrize("layers", [[], [layer("open", 0, (None, None, 8))]])
def test_no_default_without_a_fixed_shape(layers: list[Layer]) -> None:
    with pytest.raises(ModelError, match=r"no layer of fixed shape.*img_size="):
        select_layers([], layers)


# ---- what a layer says of itself ----


def test_bytes_and_stride_of_a_layer() -> None:
    assert layer("map", 0, (7, 7, 8)).num_bytes == 4 * 7 * 7 * 8
    assert layer("open", 0, (None, 7, 8)).num_bytes is None
    assert layer("map", 0, (7, 7, 8)).stride(224) == 32
    assert layer("map", 0, (10, 10, 8)).stride(299) is None  # 29.9: its windows are not known.
    assert layer("vector", 0, (8,)).stride(224) is None
    assert layer("open", 0, (None, 7, 8)).stride(224) is None


def test_scaled_pixels_are_not_taken_for_a_feature_map() -> None:
    pixels = Layer("rescaling", "layer", "Rescaling", 1, (8, 8, 3), receptive_field=1, parameters=0)
    scaled = Layer("norm", "layer", "Normalization", 1, (8, 8, 3), receptive_field=1, parameters=7)
    smaller = Layer("resizing", "layer", "Resizing", 1, (4, 4, 3), parameters=0)
    dense = Layer("dense", "layer", "Dense", 2, (4,), parameters=772)
    assert select_layers([], [pixels, dense]) == [dense]
    assert select_layers([], [pixels, scaled, dense]) == [dense]
    assert select_layers([], [pixels, smaller, dense]) == [dense]
    mixed = Layer("conv", "layer", "Conv2D", 2, (8, 8, 4), receptive_field=1, parameters=16)
    assert select_layers([], [pixels, mixed, dense]) == [mixed]
