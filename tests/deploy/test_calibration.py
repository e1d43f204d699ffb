"""Which pictures an exported model is compared with, and which it is calibrated with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.deploy.pictures import MOST_CALIBRATION, find_calibration, find_pictures
from featx.errors import HeadError, InvalidValue
from featx.input_spec import InputSpec
from featx.specs import ModelSpec
from featx.store import open_store
from featx.store.reference import StoreReference
from featx.testing import write_images
from tests.deploy.pictures import make_head

CONTRACT = InputSpec(8, 8, scaling="unit", decode="exact")


@pytest.fixture
def fitted(toy: str, tmp_path: Path) -> featx.Head:
    """A head on a store of ten pictures, fitted on the first six of them."""
    photos = write_images(10, tmp_path / "photos", classes=("dark", "light"))
    featx.extract(photos, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    with open_store(tmp_path / "f.h5") as store:
        hashes, reference = np.asarray(store.content_hash), StoreReference.to(store, tmp_path)
    head = make_head()
    model = ModelSpec("toy", "colors", (), "", "0" * 64, CONTRACT)
    return replace(head, model=model, fitted_on=hashes[:6], store=reference, folder=tmp_path)


def test_the_default_are_others_than_those_compared(fitted: featx.Head) -> None:
    compared, source = find_pictures(fitted, (), 4)

    calibration, is_apart = find_calibration(fitted, (), compared)

    known = {row.tobytes() for row in fitted.fitted_on}
    assert source == "store"
    assert not any(one.content_hash in known for one in compared)
    assert all(one.label is not None for one in compared)
    assert (len(calibration), is_apart) == (6, True)
    shown = {one.small.tobytes() for one in compared}
    assert not any(one.tobytes() in shown for one in calibration)
    assert {one.shape for one in calibration} == {(8, 8, 3)}


def test_where_there_are_no_others_the_compared_ones_are_taken(fitted: featx.Head) -> None:
    compared, _ = find_pictures(fitted, (), 10)

    calibration, is_apart = find_calibration(fitted, (), compared)

    assert (len(calibration), is_apart) == (10, False)


def test_images_that_the_user_names_are_taken(fitted: featx.Head, tmp_path: Path) -> None:
    compared, _ = find_pictures(fitted, (), 4)
    more = write_images(3, tmp_path / "more")
    many = (np.full((8, 8, 3), each, np.uint8) for each in range(MOST_CALIBRATION + 5))

    assert len(find_calibration(fitted, more, compared)[0]) == 3
    assert len(find_calibration(fitted, list(many), compared)[0]) == MOST_CALIBRATION
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(HeadError, match="None of the pictures to calibrate with can be read"):
        find_calibration(fitted, tmp_path / "broken.jpg", compared)


def test_drawn_pictures_do_not_calibrate(fitted: featx.Head) -> None:
    head = replace(fitted, store=None)
    compared, source = find_pictures(head, (), 4)

    assert source == "drawn"
    assert find_calibration(head, (), compared) == ([], False)


def test_only_int8_is_calibrated(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="Only quantize='int8' is calibrated"):
        featx.export_head("head", output=tmp_path / "f.tflite", calibrate=tmp_path)
