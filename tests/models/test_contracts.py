from __future__ import annotations

from typing import get_args

import pytest

from featx.input_spec import InputSpec, Scaling
from featx.models.contracts import APPLICATIONS, Application


def test_every_application_has_a_usable_contract() -> None:
    assert len(APPLICATIONS) == 40
    for name, application in APPLICATIONS.items():
        contract = application.contract()
        assert contract.scaling in get_args(Scaling), name
        assert (contract.height, contract.width, contract.channels) == (
            application.size,
            application.size,
            3,
        )
        # As keras.utils.load_img does unless told otherwise, apart from the interpolation.
        assert (contract.resize, contract.exif) == ("stretch", "apply")


@pytest.mark.parametrize(
    ("name", "size", "scaling", "order"),
    [
        ("VGG19", 224, "caffe", "bgr"),
        ("ResNet50", 224, "caffe", "bgr"),
        ("ResNet50V2", 224, "tf", "rgb"),
        ("MobileNetV2", 224, "tf", "rgb"),
        ("MobileNetV3Small", 224, "raw", "rgb"),
        ("DenseNet121", 224, "torch", "rgb"),
        ("InceptionV3", 299, "tf", "rgb"),
        ("Xception", 299, "tf", "rgb"),
        ("NASNetLarge", 331, "tf", "rgb"),
        ("NASNetMobile", 224, "tf", "rgb"),
        ("EfficientNetB0", 224, "raw", "rgb"),
        ("EfficientNetB7", 600, "raw", "rgb"),
        ("EfficientNetV2S", 384, "raw", "rgb"),
        ("ConvNeXtTiny", 224, "raw", "rgb"),
    ],
)
def test_contracts_as_the_papers_and_keras_state_them(
    name: str, size: int, scaling: Scaling, order: str
) -> None:
    contract = APPLICATIONS[name].contract()
    assert (contract.height, contract.scaling, contract.channel_order) == (size, scaling, order)


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_only_caffe_is_bgr(name: str) -> None:
    for include_preprocessing in (True, False):
        contract = APPLICATIONS[name].contract(include_preprocessing=include_preprocessing)
        assert (contract.channel_order == "bgr") == (contract.scaling == "caffe")


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("ConvNeXtBase", "raw", "torch"),
        ("EfficientNetV2B0", "raw", "torch"),
        ("EfficientNetV2L", "raw", "tf"),
        ("MobileNetV3Large", "raw", "tf"),
        ("VGG16", "caffe", "caffe"),
        ("EfficientNetB3", "raw", "raw"),
    ],
)
def test_without_its_own_preprocessing_a_network_needs_another_scaling(
    name: str, inside: Scaling, outside: Scaling
) -> None:
    application = APPLICATIONS[name]
    assert application.contract().scaling == inside
    assert application.contract(include_preprocessing=False).scaling == outside


def test_one_family_shares_one_scaling_within_and_without() -> None:
    scalings: dict[str, set[str]] = {}
    for application in APPLICATIONS.values():
        scalings.setdefault(application.family, set()).add(application.scaling)
    assert {family: len(found) for family, found in scalings.items()} == dict.fromkeys(scalings, 1)


def test_a_contract_is_an_input_spec_with_nothing_hidden() -> None:
    application = Application("vgg16", 224, "caffe", 138.4, 528, 512, "vgg16.h5")
    assert application.contract() == InputSpec(224, 224, scaling="caffe", channel_order="bgr")
