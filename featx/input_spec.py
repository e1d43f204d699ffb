"""`InputSpec`: how a picture becomes the array that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from featx.checks.texts import check_choice
from featx.errors import InvalidValue
from featx.stored_fields import check_types, known_fields, read_counts
from featx.wording import option

Scaling = Literal["caffe", "tf", "torch", "unit", "raw"]
Preprocess = Literal["auto", "try", "caffe", "tf", "torch", "unit", "raw"]
ChannelOrder = Literal["rgb", "bgr"]
Resize = Literal["stretch", "crop", "pad"]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Exif = Literal["apply", "ignore"]
Decode = Literal["fast", "exact"]
Icc = Literal["apply", "ignore"]

PREPROCESS_NAMES: tuple[str, ...] = get_args(Preprocess)

MAX_CHANNELS = 64
"""More channels than any picture has pages for: such a model does not take images."""

FIRST_MARGIN = 2
"""The margin of fast decoding before it was recorded."""

DECODE_MARGIN = 4
"""The margin of fast decoding. With 2, MobileNetV2's features fell below a cosine of 0.999 to those
of exact decoding at 29 of 36 sizes; with 4, at 10 of 25 (``python -m benchmarks.decoding``)."""

_CHOICES = ("scaling", "channel_order", "resize", "interpolation", "exif", "decode")
"""Fields of an `InputSpec` that are one of several texts."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input contract of a model: how a picture becomes the array it was trained on.

    Attributes:
        height: Rows of the model's input, in pixels.
        width: Columns of the model's input, in pixels.
        channels: 3 for colour, 1 for greyscale (ITU-R 601-2 luma), 4 for colour with alpha;
            any other number is that of the pages of a file, each in greyscale.
        scaling: ``caffe``: subtract the ImageNet mean, in [0, 255]; ``tf``: to [-1, 1];
            ``torch``: to [0, 1], then ImageNet mean and standard deviation;
            ``unit``: to [0, 1]; ``raw``: [0, 255] as it is. None: not known, which
            extraction refuses rather than guesses.
        channel_order: ``rgb`` or ``bgr``, as the model was trained.
        resize: ``stretch`` to the size, ``crop`` the centre, or ``pad`` with the background.
        interpolation: The resampling filter, as Pillow names it.
        exif: Whether the camera's orientation tag is applied.
        background: RGB, 0 to 255, that transparent pixels and padding get.
        decode: ``fast``: large JPEGs are decoded at a half, a quarter or an eighth, never below
            `decode_margin` times the size (with the filters nearest and box, which take whole
            pixels, at all of it); ``exact``: always all pixels.
        decode_margin: How many times the model's size a fraction has at least: `DECODE_MARGIN` in
            models that are loaded now, `FIRST_MARGIN` in older stores.
        icc: Whether pictures are converted to sRGB by their embedded colour profiles.
    """

    height: int
    width: int
    channels: int = 3
    scaling: Scaling | None = None
    channel_order: ChannelOrder = "rgb"
    resize: Resize = "stretch"
    interpolation: Interpolation = "bilinear"
    exif: Exif = "apply"
    background: tuple[int, int, int] = (255, 255, 255)
    decode: Decode = "fast"
    decode_margin: int = FIRST_MARGIN
    icc: Icc = "ignore"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InvalidValue(
                "An image size is at least 1 x 1 pixel. "
                f"Received: {self.height} x {self.width} (height x width)."
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InvalidValue(
                f"featx feeds models images of 1 to {MAX_CHANNELS} channels. "
                f"Received: a model with {self.channels} input channels."
            )
        if self.scaling is not None:
            check_choice("preprocessing", self.scaling, get_args(Scaling))
        if self.channels != 3 and (
            self.scaling in ("caffe", "torch") or self.channel_order != "rgb"
        ):
            channels = f"{self.channels} input channel{'s' if self.channels > 1 else ''}"
            raise InvalidValue(
                "'caffe' and 'torch' scaling and the channel order 'bgr' are defined for colour "
                f"images. Received: a model with {channels}. Use "
                f"{option('preprocess', 'tf', 'unit', 'raw')}."
            )
        check_choice("channel order", self.channel_order, get_args(ChannelOrder))
        check_choice("resize rule", self.resize, get_args(Resize))
        check_choice("interpolation", self.interpolation, get_args(Interpolation))
        check_choice("EXIF policy", self.exif, get_args(Exif))
        check_choice("way of decoding", self.decode, get_args(Decode))
        check_choice("policy for colour profiles", self.icc, get_args(Icc))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        fields = asdict(self) | {"background": list(self.background)}
        if self.decode_margin == FIRST_MARGIN:  # Older than this field.
            del fields["decode_margin"]
        if self.icc == "ignore":
            del fields["icc"]
        return fields

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the numbers.

        Fingerprints are older than `decode`, and those of fast decoding older than its margin.
        """
        fields = self.to_dict()
        margin = fields.pop("decode_margin", FIRST_MARGIN)
        if self.decode == "exact":
            del fields["decode"]
        elif margin != FIRST_MARGIN:
            fields["decode"] = f"fast, at {margin} times the size"
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InputSpec:
        """Rebuild a spec from `to_dict`.

        Raises:
            TypeError: If a field is of another type.
        """
        known = known_fields(cls, data)
        check_types(known, str, *_CHOICES)
        check_types(known, int, "height", "width", "channels", "decode_margin")
        known["background"] = read_counts("background", known["background"])
        known.setdefault("decode", "exact")  # What there was before these were choices.
        return cls(**known)
