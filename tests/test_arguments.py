"""How public functions may be called: other words and types, and what is said of wrong ones."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import featx
from featx.arguments import SYNONYMS, check_paths
from featx.checks.layers import check_dtype, check_layers
from featx.checks.numbers import check_numbers
from featx.checks.texts import check_path, check_text, check_texts
from featx.cli.app import app
from featx.cli.commands import make_command
from featx.errors import FeatxError, InvalidType, InvalidValue, UnknownOption
from featx.testing import toy_model, write_images
from featx.wording import FUNCTIONS

CALLS: Mapping[str, dict[str, Any]] = {
    "audit": {"features": "f.h5"},
    "build_index": {"features": "f.h5"},
    "compare_scalings": {"images": "photos"},
    "embed": {"images": [np.zeros((8, 8, 3), np.uint8)]},
    "evaluate": {"images": "photos", "head": "head"},
    "evaluate_retrieval": {"features": "f.h5"},
    "export_head": {"head": "head", "output": "out.keras"},
    "export_store": {"features": "f.h5", "output": "out.npy", "overwrite": True},
    "export_to_database": {"features": "f.h5", "output": "out", "to": "qdrant"},
    "extract": {"images": "photos", "output": "new.h5"},
    "find_duplicates": {"features": "f.h5"},
    "fine_tune": {"images": "photos", "head": "head", "output": "run"},
    "fit_head": {"features": "f.h5", "output": "head"},
    "iter_predictions": {"images": "photos", "head": "head"},
    "layers": {"model": "builtin:mini"},
    "load_head": {"folder": "head"},
    "load_model": {"model": "builtin:mini"},
    "map_features": {"features": "f.h5"},
    "merge_indexes": {"indexes": ["f.faiss"], "output": "merged.faiss"},
    "merge_stores": {"sources": ["f.h5"], "output": "merged.h5"},
    "open_dataset": {"features": "f.h5"},
    "open_index": {"path": "f.faiss"},
    "open_store": {"path": "f.h5"},
    "open_training": {"path": "f.trained.faiss"},
    "pack_store": {"features": "f.h5"},
    "predict": {"images": "photos", "head": "head"},
    "search": {"queries": "photos", "features": "f.h5"},
    "select": {"features": "f.h5", "count": 2, "strategy": "random"},
    "serve": {"features": "f.h5", "host": "192.0.2.1"},
    "train_index": {"features": "f.h5"},
    "verify_index": {"index": "f.faiss"},
    "verify_store": {"features": "f.h5"},
}
"""Function → a call of it; in a folder where nothing is, each ends early."""

PICTURES = ("images", "queries", "keys", "check", "calibrate")
"""What is tested with the images that can be passed."""


def words(name: str) -> Iterator[str]:
    """Yield every keyword of a function."""
    function = getattr(featx, name)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            yield parameter.name
            continue
        (hint,) = eval(parameter.annotation, vars(inspect.getmodule(function))).__args__
        yield from hint.__annotations__


EVERY = [(name, word) for name in CALLS for word in dict.fromkeys(words(name))]


def test_every_function_is_tested() -> None:
    functions = {name for name in featx.__all__ if inspect.isfunction(getattr(featx, name))}
    assert functions == set(CALLS)
    assert len(EVERY) > 150


@pytest.mark.parametrize(("name", "word"), EVERY)
def test_a_wrong_type_is_one_sentence_about_the_argument(
    name: str, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if word in PICTURES or (name, word) == ("extract", "labels"):
        pytest.skip("pictures are tested where they are taken")
    monkeypatch.chdir(tmp_path)
    arguments = {**CALLS[name], word: object()}
    with pytest.raises(InvalidType) as caught:
        getattr(featx, name)(**arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert "<object object at" in text
    assert list(tmp_path.iterdir()) == []


WRONG = (
    3, 3.5, -1, True, None, b"x", [], {}, [None], {"a": 1}, np.zeros(2), (), len, "\0", "", {1},
    Path("x"), float("nan"), 10**30, "no-such", np.array("a"), np.array(None), {1: "a"}, "\ud800",
    ["\ud800"], b"\xff", object(), [object()],
)  # fmt: skip


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_texts, np.array("a")), (check_texts, "\ud800"), (check_texts, ["a", "\ud800"]),
        (check_text, "\ud800"), (check_path, "\ud800"), (check_layers, "\ud800"),
        (check_layers, [-1, "\ud800"]), (check_dtype, {1: "a"}), (check_paths, np.array(None)),
        (check_numbers, {"a": 1}),
    ],
)  # fmt: skip
def test_what_only_looks_right_is_refused(check: Callable[..., object], value: object) -> None:
    with pytest.raises((InvalidType, InvalidValue), match="'word' takes .*Received: "):
        check("word", value)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_no_value_leads_to_an_error_from_inside(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(6, classes=("dark", "light")).rename("photos")
    featx.extract("photos", toy_model(), layer="mean", output="f.h5")
    featx.fit_head("f.h5", output="head")
    featx.build_index("f.h5")
    if name in ("extract", "embed", "compare_scalings"):
        arguments = {**CALLS[name], "model": toy_model()}
    else:
        arguments = CALLS[name]
    for word in dict.fromkeys(words(name)):
        if word in PICTURES:
            continue
        for value in WRONG:
            for file in ("new.h5", "merged.h5"):
                Path(file).unlink(missing_ok=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(FeatxError):
                    getattr(featx, name)(**{**arguments, word: value})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of two layers of the toy model."""
    path = tmp_path_factory.mktemp("store") / "f.h5"
    photos = write_images(4, classes=("dark", "light"))
    featx.extract(photos, toy_model(), layers=["map", "mean"], output=path)
    return path


@pytest.mark.parametrize(
    "layers",
    [
        {"layer": "mean"}, {"layers": "mean"}, {"layers": ["mean"]}, {"module_name": "mean"},
        {"layers": ("mean",)}, {"layer": np.array(["mean"])},
    ],
)  # fmt: skip
def test_layers_are_named_by_any_word_alone_or_in_a_list(
    layers: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new.h5"
    featx.extract(write_images(2), model_name=toy_model(), output=output, **layers)
    with featx.open_store(output) as made:
        assert made.layers == ("mean",)
    assert featx.build_index(store, output=tmp_path / "i.faiss", **layers).description.feature.name
    assert featx.export_store(store, tmp_path / "e.npy", **layers).rows == 4


def test_layers_of_a_store_are_named_by_their_place(store: Path, tmp_path: Path) -> None:
    with featx.open_store(store) as opened:
        assert opened.layers == ("map", "mean")
        assert [opened.spec(place).name for place in (0, -1, np.int64(1))] == [
            "map",
            "mean",
            "mean",
        ]
        with pytest.raises(FeatxError, match="no layer in the store named '2'"):
            opened.spec(2)
    index = featx.build_index(store, layers=0, output=tmp_path / "i.faiss")
    assert index.description.feature.name == "map"
    head = featx.fit_head(store, layer=-1, output=tmp_path / "head")
    assert head.layer == "mean"


def test_poolings_sizes_and_types_are_taken_as_in_other_libraries(tmp_path: Path) -> None:
    photos, model = write_images(2), toy_model()
    for number, (pool, stored) in enumerate([(None, "none"), ("mean", "avg")]):
        output = tmp_path / f"{number}.h5"
        featx.extract(photos, model, layer="map", pool=pool, dtype=np.float16, output=output)
        with featx.open_store(output) as made:
            assert made.spec().pool == stored
            assert made.features().dtype == np.float16
    assert featx.InputOptions(img_size=96).size == (96, 96)
    assert featx.InputOptions(img_size=np.array([96, 128])).size == (96, 128)  # type: ignore[arg-type]
    vectors = featx.embed(photos, model, layers="map", pool="mean")
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (2, 3)


def test_words_for_poolings_are_those_of_the_library_in_the_shell(
    store: Path, tmp_path: Path
) -> None:
    for word in ("mean", "avg"):
        for name, *more in (
            ("export", str(store), "-o", f"{word}.npy"),
            ("index", str(store), "-o", f"{word}.faiss"),
            ("fit-head", str(store), "-o", f"{word}-head"),
        ):
            more[2] = str(tmp_path / more[2])
            result = CliRunner().invoke(app, [name, *more, "--layer", "map", "--pool", word])
            assert result.exit_code == 0, result.output
    arrays = [np.load(tmp_path / f"{word}.npy") for word in ("mean", "avg")]
    np.testing.assert_array_equal(*arrays)
    assert featx.load_head(tmp_path / "mean-head").feature.pool == "avg"
    assert featx.open_index(tmp_path / "mean.faiss").description.feature.pool == "avg"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: featx.extract("p", layer="a", layers="b"), "another word for 'layers'"),
        (lambda: featx.Extractor(layer="a", layers="b"), "another word for 'layer'"),
        (lambda: featx.extract("p", "m", "x"), "takes 'images' and 'model' by position, .* 'x'"),  # type: ignore[call-arg, misc]
        (lambda: featx.extract("p", images="q"), "'images' was given twice"),
        (lambda: featx.build_index("f.h5", layer=["a", "b"]), "takes one layer"),
        (lambda: featx.extract("p", pool=7), "'pool' takes a text. Received: 7"),
        (lambda: featx.extract("p", dtype=float), "float32 or float16"),
        (lambda: featx.predict("p", head="h", top=0), "'top' takes a whole number, at least 1"),
    ],
)
def test_what_is_said_of_a_wrong_call(call: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatxError, match=message):
        call()


def test_none_leaves_out_what_has_another_default(store: Path, tmp_path: Path) -> None:
    assert featx.export_store(store, tmp_path / "e.npy", format=None, overwrite=None).rows == 4
    with pytest.raises(InvalidType, match="'features' takes a path. Received: None"):
        featx.pack_store(None)  # type: ignore[arg-type]


def test_an_unknown_keyword_is_named_where_there_are_no_groups() -> None:
    with pytest.raises(UnknownOption, match="Did you mean layer"):
        featx.build_index("f.h5", layerr="mean")  # type: ignore[call-arg]


ONLY_IN_THE_SHELL = {
    *("json", "tree", "report", "sheet", "html", "csv", "help"),
    *("most", "suggest"),
    *("filepath_only", "null", "preview", "preview_height"),
    "retrieval",  # It chooses the other function.
}

OTHER_FUNCTIONS = {
    "evaluate": "evaluate_retrieval",
    "export": "export_to_database",
    "index": "train_index",
    "merge": "merge_indexes",
}
"""What else a command does with an option."""


WRITTEN = {
    "predict": {"output", "overwrite", "csv_safe"},
    "search": {"csv_safe"},
    "duplicates": {"csv_safe"},
    "select": {"output", "overwrite"},
    "map": {"output", "overwrite", "thumbnails"},
    "serve": {"browser", "mcp"},
}
"""How commands write what their functions return."""


@pytest.mark.parametrize(("name", "function"), FUNCTIONS.items())
def test_options_of_commands_are_keywords_of_their_functions(name: str, function: str) -> None:
    if name == "info":
        pytest.skip("it only shows what a store has")
    functions = [function, OTHER_FUNCTIONS.get(name, function)]
    taken = {*SYNONYMS, *(word for each in functions for word in words(each))}
    for parameter in make_command(name).params:
        spellings = {each.lstrip("-").replace("-", "_") for each in parameter.opts}
        spellings = {each for each in spellings if len(each) > 1 or each in taken}
        own = WRITTEN.get(name, set())
        assert spellings <= taken or spellings & (ONLY_IN_THE_SHELL | own), spellings
