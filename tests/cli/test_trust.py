"""Code of other people's models: as a file, and as objects of the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import InvalidType, InvalidValue, ModelError
from featx.models.in_memory import InMemory, check_model
from featx.models.loading import restore_model
from featx.trust import add_objects, check_trust
from tests.cli.program import Program
from tests.models.foreign_code import FOREIGN_CODE, write_foreign_model

WHITE = np.full((1, 4, 4, 3), 255, np.uint8)
OPTIONS: dict[str, Any] = {"preprocess": "unit", "pool": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model of another program, and a file of its code."""
    made = tmp_path_factory.mktemp("theirs")
    write_foreign_model(made / "net.keras")
    (made / "blocks.py").write_text(FOREIGN_CODE)
    return made


def make_twice() -> Any:
    """Return the layer's class, which nobody has registered."""
    import keras

    namespace: dict[str, Any] = {"keras": keras, "__name__": "program"}
    exec(
        FOREIGN_CODE.replace('@keras.saving.register_keras_serializable(package="blocks")', ""),
        namespace,
    )
    return namespace["Twice"]


@pytest.mark.parametrize("value", [3, None, [], {}, b"x", 0.5])
def test_trust_is_true_or_a_file(value: object) -> None:
    with pytest.raises(InvalidType, match="takes a Python file .* or True or False. Received"):
        check_trust("trust_model_code", value)


def test_trust_in_files_that_are_none(tmp_path: Path) -> None:
    for name, reason in (("no.py", "does not exist"), ("net.keras", "is no .py file")):
        with pytest.raises(InvalidValue, match=f"{name}', which {reason}"):
            check_trust("trust_model_code", str(tmp_path / name))


@pytest.mark.parametrize("value", [3, "Twice", ["Twice"], {"Twice": 3}, {3: len}])
def test_custom_objects_are_classes_by_name(value: object) -> None:
    with pytest.raises(InvalidType, match="'custom_objects' takes a dictionary of classes"):
        add_objects(False, value)


@pytest.mark.tensorflow
def test_a_file_brings_the_code(folder: Path) -> None:
    net = str(folder / "net.keras")
    trusted = {"trust_model_code": folder / "blocks.py"}
    rows = featx.embed(WHITE, net, layer="twice", **OPTIONS, **trusted)
    assert np.asarray(rows)[0, 0, 0, 0] == 2
    first = featx.load_model(net, preprocess="unit", **trusted).spec
    with (folder / "blocks.py").open("a") as file:
        file.write("# Another line.\n")
    second = featx.load_model(f"{net},trust_model_code={folder / 'blocks.py'}", preprocess="unit")
    assert second.spec.fingerprint != first.fingerprint
    with pytest.raises(ModelError, match=r"custom_objects=\{'blocks>Twice': Twice\}"):
        featx.load_model(net, preprocess="unit", trust_model_code=True)


@pytest.mark.tensorflow
def test_objects_of_the_program_are_the_code(folder: Path, tmp_path: Path) -> None:
    net, twice = str(folder / "net.keras"), make_twice()
    given: dict[str, Any] = {"custom_objects": {"blocks>Twice": twice, "Twice": twice}}
    assert np.asarray(featx.embed(WHITE, net, layer="twice", **OPTIONS, **given))[0, 0, 0, 0] == 2
    assert "twice" in featx.layers(net, preprocess="unit", **given).names
    store = tmp_path / "f.h5"
    featx.extract(WHITE, net, layer="twice", output=store, preprocess="unit", **given)
    with featx.open_store(store) as opened:
        assert len(opened) == 1
    extractor = featx.Extractor(net, "twice", **OPTIONS, **given)
    assert extractor.get_params()["custom_objects"] == given["custom_objects"]


@pytest.mark.tensorflow
def test_the_saved_file_of_a_model_with_code_is_the_same_model(
    folder: Path, tmp_path: Path
) -> None:
    import keras

    twice, images = make_twice(), keras.Input((4, 4, 3))
    model = keras.Model(images, twice(name="twice")(images))
    model.save(tmp_path / "own.keras")
    code = {"custom_objects": {"Twice": twice, "program>Twice": twice}}
    memory = featx.load_model(model, preprocess="unit").spec
    assert featx.load_model(tmp_path / "own.keras", preprocess="unit", **code).spec.fingerprint == (
        memory.fingerprint
    )
    (tmp_path / "blocks.py").write_text(FOREIGN_CODE)
    trust = str(tmp_path / "blocks.py")
    file = featx.load_model(tmp_path / "own.keras", preprocess="unit", trust_model_code=trust).spec
    assert file.fingerprint != memory.fingerprint  # Bytes identify it, as ever.
    given = check_model("model", model)
    assert isinstance(given, InMemory)
    assert restore_model(file, model=given).spec.fingerprint == file.fingerprint
    own = restore_model(memory, weights=str(tmp_path / "own.keras"), trust_model_code=trust)
    assert own.spec.fingerprint == memory.fingerprint


@pytest.mark.tensorflow
def test_the_shell_takes_a_file_or_nothing(featx: Program, folder: Path) -> None:
    net, code = str(folder / "net.keras"), str(folder / "blocks.py")
    for arguments in ([net, "--trust-model-code", code], ["--trust-model-code=" + code, net]):
        assert "twice" in featx("layers", *arguments).out
    bare = featx("layers", "--trust-model-code", net)
    assert bare.status == 1
    assert "--trust-model-code FILE.py runs another" in bare.err
