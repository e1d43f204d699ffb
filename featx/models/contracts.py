"""The input contracts of `keras.applications`, as data: one line for each network.

Sizes are the `default_size` of each constructor, scalings the `mode` that each family's
`preprocess_input` passes on (Keras 3.15, `keras/src/applications/*.py`; a test compares
every line with Keras itself). Families whose `preprocess_input` returns its argument
rescale inside the network: their contract is ``raw``.
"""

from __future__ import annotations

from dataclasses import dataclass

from featx.specs import InputSpec, Scaling


@dataclass(frozen=True, slots=True)
class Application:
    """What featx knows of a Keras application before it is loaded.

    Attributes:
        family: Submodule of `keras.applications` with its `preprocess_input`.
        size: Height and width of the input, in pixels.
        scaling: What the network expects as built by default.
        outside: What it expects with ``include_preprocessing=False``, where it takes that.
    """

    family: str
    size: int
    scaling: Scaling
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


APPLICATIONS: dict[str, Application] = {
    "ConvNeXtTiny": Application("convnext", 224, "raw", "torch"),
    "ConvNeXtSmall": Application("convnext", 224, "raw", "torch"),
    "ConvNeXtBase": Application("convnext", 224, "raw", "torch"),
    "ConvNeXtLarge": Application("convnext", 224, "raw", "torch"),
    "ConvNeXtXLarge": Application("convnext", 224, "raw", "torch"),
    "DenseNet121": Application("densenet", 224, "torch"),
    "DenseNet169": Application("densenet", 224, "torch"),
    "DenseNet201": Application("densenet", 224, "torch"),
    "EfficientNetB0": Application("efficientnet", 224, "raw"),
    "EfficientNetB1": Application("efficientnet", 240, "raw"),
    "EfficientNetB2": Application("efficientnet", 260, "raw"),
    "EfficientNetB3": Application("efficientnet", 300, "raw"),
    "EfficientNetB4": Application("efficientnet", 380, "raw"),
    "EfficientNetB5": Application("efficientnet", 456, "raw"),
    "EfficientNetB6": Application("efficientnet", 528, "raw"),
    "EfficientNetB7": Application("efficientnet", 600, "raw"),
    "EfficientNetV2B0": Application("efficientnet_v2", 224, "raw", "torch"),
    "EfficientNetV2B1": Application("efficientnet_v2", 240, "raw", "torch"),
    "EfficientNetV2B2": Application("efficientnet_v2", 260, "raw", "torch"),
    "EfficientNetV2B3": Application("efficientnet_v2", 300, "raw", "torch"),
    "EfficientNetV2S": Application("efficientnet_v2", 384, "raw", "tf"),
    "EfficientNetV2M": Application("efficientnet_v2", 480, "raw", "tf"),
    "EfficientNetV2L": Application("efficientnet_v2", 480, "raw", "tf"),
    "InceptionResNetV2": Application("inception_resnet_v2", 299, "tf"),
    "InceptionV3": Application("inception_v3", 299, "tf"),
    "MobileNet": Application("mobilenet", 224, "tf"),
    "MobileNetV2": Application("mobilenet_v2", 224, "tf"),
    "MobileNetV3Large": Application("mobilenet_v3", 224, "raw", "tf"),
    "MobileNetV3Small": Application("mobilenet_v3", 224, "raw", "tf"),
    "NASNetLarge": Application("nasnet", 331, "tf"),
    "NASNetMobile": Application("nasnet", 224, "tf"),
    "ResNet50": Application("resnet", 224, "caffe"),
    "ResNet101": Application("resnet", 224, "caffe"),
    "ResNet152": Application("resnet", 224, "caffe"),
    "ResNet50V2": Application("resnet_v2", 224, "tf"),
    "ResNet101V2": Application("resnet_v2", 224, "tf"),
    "ResNet152V2": Application("resnet_v2", 224, "tf"),
    "VGG16": Application("vgg16", 224, "caffe"),
    "VGG19": Application("vgg19", 224, "caffe"),
    "Xception": Application("xception", 299, "tf"),
}
