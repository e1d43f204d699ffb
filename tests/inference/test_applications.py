"""Both engines give the same numbers for every family of `keras.applications`."""

from __future__ import annotations

import shutil

import pytest

from featx.models import load_model
from featx.models.contracts import APPLICATIONS
from featx.options import InputOptions
from featx.user_cache import user_cache_folder
from tests.inference.agreement import check_agreement, spread_layers

pytestmark = pytest.mark.tensorflow

NETWORKS = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
]
"""The smallest of each family; two where a family has different kinds of blocks or contracts."""

SIZE = (96, 96)
SMALL = (64, 64)
"""Too small for some."""


def check(reference: str, size: tuple[int, int] = SIZE) -> None:
    overrides = InputOptions(img_size=size)
    backbone = load_model(f"keras:{reference}", weights="random", input=overrides)
    try:
        check_agreement(backbone, spread_layers(backbone))
    finally:  # All of them together are a gigabyte.
        shutil.rmtree(user_cache_folder() / "networks", ignore_errors=True)


@pytest.mark.parametrize(
    "reference",
    [
        "MobileNet,alpha=0.25",
        pytest.param("MobileNetV3Small", marks=pytest.mark.slow),
        pytest.param("VGG16", marks=pytest.mark.slow),
    ],
)
def test_engines_agree(reference: str) -> None:
    check(reference, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_engines_agree_on_every_family(name: str) -> None:
    check(name)


@pytest.mark.slow
def test_no_family_is_left_out() -> None:
    named = {APPLICATIONS[name].family for name in NETWORKS}
    assert named == {application.family for application in APPLICATIONS.values()}
