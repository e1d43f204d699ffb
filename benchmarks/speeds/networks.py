"""The networks that are compared. Without imports: a competitor's Python may lack all packages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """A network, the layer that is taken, and what each competitor calls them.

    Attributes:
        name: The class in `keras.applications`; ``mini`` is featx's built-in.
        size: Height and width of the input, in pixels.
        images: Pictures for featx: some 10 to 20 seconds on two cores.
        fewer: Pictures for competitors that take several times as long.
        layer: Of this layer the maps are kept as they are; None: the last maps, averaged.
        timm: Its name in timm.
        torchvision: Its name in torchvision.
        weights_file: Real weights, below the data's ``weights``; random ones where it is missing.
    """

    name: str
    size: int
    images: int
    fewer: int
    layer: str | None = None
    timm: str | None = None
    torchvision: str | None = None
    weights_file: str | None = None

    @property
    def reference(self) -> str:
        """What featx calls it."""
        return "builtin:mini" if self.name == "mini" else f"keras:{self.name}"

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.name} {self.layer}" if self.layer else self.name


MOBILENET_WEIGHTS = "mobilenet_v2_1.0_224_dequantized_from_coral_tf2_ptq.h5"

NETWORKS = {
    network.name: network
    for network in (
        Network("VGG19", 224, 192, 64, layer="block4_pool", timm="vgg19", torchvision="vgg19"),
        Network("ResNet50", 224, 768, 256, timm="resnet50", torchvision="resnet50"),
        Network(
            "MobileNetV2",
            224,
            2560,
            768,
            timm="mobilenetv2_100",
            torchvision="mobilenet_v2",
            weights_file=MOBILENET_WEIGHTS,
        ),
        Network(
            "EfficientNetB0",
            224,
            1536,
            512,
            timm="efficientnet_b0",
            torchvision="efficientnet_b0",
        ),
        Network("ConvNeXtTiny", 224, 512, 192, timm="convnext_tiny", torchvision="convnext_tiny"),
        Network("mini", 128, 8192, 3072),
    )
}
