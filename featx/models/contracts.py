"""Facts about each of `keras.applications`, known before it is loaded.

Sizes are the `default_size` of each constructor, scalings the `mode` that each family's
`preprocess_input` passes on (Keras 3.15, `keras/src/applications/*.py`; a test compares
every line with Keras itself). Families whose `preprocess_input` returns its argument
rescale inside the network: their contract is ``raw``. Parameters and sizes are those of the table
of https://keras.io/api/applications/ (MobileNetV3, which it leaves out, by `count_params`); widths
and names of files were read off the networks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from featx.input_spec import InputSpec, Scaling


@dataclass(frozen=True, slots=True)
class Application:
    """What featx knows of a Keras application before it is loaded.

    Attributes:
        family: Submodule of `keras.applications` with its `preprocess_input`.
        size: Height and width of the input, in pixels.
        scaling: What the network expects as built by default.
        parameters: Millions of weights, with the classifier.
        megabytes: Size of the file of ImageNet weights, with the classifier.
        width: Values of its feature vector: channels of the last map, which a global average
            makes a vector of.
        weights_file: What Keras calls that file.
        outside: What it expects with ``include_preprocessing=False``, where it takes that.
    """

    family: str
    size: int
    scaling: Scaling
    parameters: float
    megabytes: int
    width: int
    weights_file: str
    outside: Scaling | None = None

    def contract(self, *, include_preprocessing: bool = True) -> InputSpec:
        """Return the input contract at the default size."""
        scaling = self.scaling if include_preprocessing else self.outside or self.scaling
        return InputSpec(
            height=self.size,
            width=self.size,
            scaling=scaling,
            channel_order="bgr" if scaling == "caffe" else "rgb",
        )


def keras_models_folder() -> Path:
    """Return where Keras keeps downloaded weights, by the rule of Keras (`keras.config`)."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        base = os.path.expanduser("~")
        home = os.path.join(base if os.access(base, os.W_OK) else "/tmp", ".keras")
    return Path(home) / "models"


_KERNELS = "_weights_tf_dim_ordering_tf_kernels.h5"

APPLICATIONS: dict[str, Application] = {
    "ConvNeXtTiny": Application(
        "convnext", 224, "raw", 28.6, 109, 768, "convnext_tiny.h5", "torch"
    ),
    "ConvNeXtSmall": Application(
        "convnext", 224, "raw", 50.2, 192, 768, "convnext_small.h5", "torch"
    ),
    "ConvNeXtBase": Application(
        "convnext", 224, "raw", 88.6, 339, 1024, "convnext_base.h5", "torch"
    ),
    "ConvNeXtLarge": Application(
        "convnext", 224, "raw", 197.8, 755, 1536, "convnext_large.h5", "torch"
    ),
    "ConvNeXtXLarge": Application(
        "convnext", 224, "raw", 350.2, 1310, 2048, "convnext_xlarge.h5", "torch"
    ),
    "DenseNet121": Application("densenet", 224, "torch", 8.1, 33, 1024, "densenet121" + _KERNELS),
    "DenseNet169": Application("densenet", 224, "torch", 14.3, 57, 1664, "densenet169" + _KERNELS),
    "DenseNet201": Application("densenet", 224, "torch", 20.2, 80, 1920, "densenet201" + _KERNELS),
    "EfficientNetB0": Application("efficientnet", 224, "raw", 5.3, 29, 1280, "efficientnetb0.h5"),
    "EfficientNetB1": Application("efficientnet", 240, "raw", 7.9, 31, 1280, "efficientnetb1.h5"),
    "EfficientNetB2": Application("efficientnet", 260, "raw", 9.2, 36, 1408, "efficientnetb2.h5"),
    "EfficientNetB3": Application("efficientnet", 300, "raw", 12.3, 48, 1536, "efficientnetb3.h5"),
    "EfficientNetB4": Application("efficientnet", 380, "raw", 19.5, 75, 1792, "efficientnetb4.h5"),
    "EfficientNetB5": Application("efficientnet", 456, "raw", 30.6, 118, 2048, "efficientnetb5.h5"),
    "EfficientNetB6": Application("efficientnet", 528, "raw", 43.3, 166, 2304, "efficientnetb6.h5"),
    "EfficientNetB7": Application("efficientnet", 600, "raw", 66.7, 256, 2560, "efficientnetb7.h5"),
    "EfficientNetV2B0": Application(
        "efficientnet_v2", 224, "raw", 7.2, 29, 1280, "efficientnetv2-b0.h5", "torch"
    ),
    "EfficientNetV2B1": Application(
        "efficientnet_v2", 240, "raw", 8.2, 34, 1280, "efficientnetv2-b1.h5", "torch"
    ),
    "EfficientNetV2B2": Application(
        "efficientnet_v2", 260, "raw", 10.2, 42, 1408, "efficientnetv2-b2.h5", "torch"
    ),
    "EfficientNetV2B3": Application(
        "efficientnet_v2", 300, "raw", 14.5, 59, 1536, "efficientnetv2-b3.h5", "torch"
    ),
    "EfficientNetV2S": Application(
        "efficientnet_v2", 384, "raw", 21.6, 88, 1280, "efficientnetv2-s.h5", "tf"
    ),
    "EfficientNetV2M": Application(
        "efficientnet_v2", 480, "raw", 54.4, 220, 1280, "efficientnetv2-m.h5", "tf"
    ),
    "EfficientNetV2L": Application(
        "efficientnet_v2", 480, "raw", 119.0, 479, 1280, "efficientnetv2-l.h5", "tf"
    ),
    "InceptionResNetV2": Application(
        "inception_resnet_v2", 299, "tf", 55.9, 215, 1536, "inception_resnet_v2" + _KERNELS
    ),
    "InceptionV3": Application(
        "inception_v3", 299, "tf", 23.9, 92, 2048, "inception_v3" + _KERNELS
    ),
    "MobileNet": Application("mobilenet", 224, "tf", 4.3, 16, 1024, "mobilenet_1_0_224_tf.h5"),
    "MobileNetV2": Application(
        "mobilenet_v2",
        224,
        "tf",
        3.5,
        14,
        1280,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
    ),
    "MobileNetV3Large": Application(
        "mobilenet_v3",
        224,
        "raw",
        5.5,
        22,
        960,
        "weights_mobilenet_v3_large_224_1.0_float.h5",
        "tf",
    ),
    "MobileNetV3Small": Application(
        "mobilenet_v3",
        224,
        "raw",
        2.6,
        10,
        576,
        "weights_mobilenet_v3_small_224_1.0_float.h5",
        "tf",
    ),
    "NASNetLarge": Application("nasnet", 331, "tf", 88.9, 343, 4032, "nasnet_large.h5"),
    "NASNetMobile": Application("nasnet", 224, "tf", 5.3, 23, 1056, "nasnet_mobile.h5"),
    "ResNet50": Application("resnet", 224, "caffe", 25.6, 98, 2048, "resnet50" + _KERNELS),
    "ResNet101": Application("resnet", 224, "caffe", 44.7, 171, 2048, "resnet101" + _KERNELS),
    "ResNet152": Application("resnet", 224, "caffe", 60.4, 232, 2048, "resnet152" + _KERNELS),
    "ResNet50V2": Application("resnet_v2", 224, "tf", 25.6, 98, 2048, "resnet50v2" + _KERNELS),
    "ResNet101V2": Application("resnet_v2", 224, "tf", 44.7, 171, 2048, "resnet101v2" + _KERNELS),
    "ResNet152V2": Application("resnet_v2", 224, "tf", 60.4, 232, 2048, "resnet152v2" + _KERNELS),
    "VGG16": Application("vgg16", 224, "caffe", 138.4, 528, 512, "vgg16" + _KERNELS),
    "VGG19": Application("vgg19", 224, "caffe", 143.7, 549, 512, "vgg19" + _KERNELS),
    "Xception": Application("xception", 299, "tf", 22.9, 88, 2048, "xception" + _KERNELS),
}
