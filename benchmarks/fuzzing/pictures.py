"""One small picture in every format that featx reads, and damaged copies of them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, features

import featx
from benchmarks.fuzzing.mutations import declare_size, mutate_bytes, reseal_png
from benchmarks.fuzzing.supervisor import Case, OtherValues
from featx.errors import ImageError
from featx.images.decode import decode_image
from featx.input_spec import InputSpec
from featx.testing import write_images

WIDTH, HEIGHT = 67, 43
"""Unlike each other and everything else in a header, so that they are found there."""

FOLDER_GOOD, FOLDER_DAMAGED = 8, 20
"""Pictures in a folder that is extracted as a whole."""

Originals = dict[str, list[bytes]]
"""Kind → files of that kind: ``jpeg`` → baseline, progressive, CMYK, ..."""


def make_originals() -> Originals:
    """Make the originals, as far as this Pillow can write them."""
    rgb = _photograph()
    grey, cmyk = rgb.convert("L"), rgb.convert("CMYK")
    palette = rgb.quantize(64)
    alpha = rgb.copy()
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = [rgb.rotate(90 * turn) for turn in range(3)]
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    originals = {
        "jpeg": [
            _save(rgb, "JPEG"),
            _save(rgb, "JPEG", progressive=True),
            _save(cmyk, "JPEG"),
            _save(rgb, "JPEG", exif=turned, restart_marker_blocks=4),
            _save(grey, "JPEG", optimize=True),
            _save(rgb, "MPO", more=frames[1:]),
        ],
        "png": [
            _save(rgb, "PNG"),
            _save(deep, "PNG"),
            _deep_png(np.asarray(rgb)),
            _interlaced_png(np.asarray(rgb)),
            _save(palette, "PNG", transparency=3),
            _save(alpha, "PNG", exif=turned),
            _save(rgb.convert("1"), "PNG"),
        ],
        "gif": [
            _save(palette, "GIF"),
            _save(palette, "GIF", transparency=3, interlace=True),
            _save(frames[0].quantize(32), "GIF", more=frames[1:], duration=10),
        ],
        "tiff": [
            _save(rgb, "TIFF"),
            _save(alpha, "TIFF", compression="tiff_lzw", tiffinfo={278: 8, 274: 6}),
            _save(rgb, "TIFF", compression="jpeg"),
            _save(deep, "TIFF", compression="tiff_adobe_deflate"),
            _save(rgb.convert("1"), "TIFF", compression="group4"),
            _save(palette, "TIFF", compression="packbits"),
            _save(rgb, "TIFF", more=frames[1:]),
            _tiled_tiff(np.asarray(rgb)),
        ],
        "bmp": [_save(rgb, "BMP"), _save(palette, "BMP"), _save(rgb.convert("1"), "BMP")],
        "ppm": [
            _save(rgb, "PPM"),
            _save(deep, "PPM"),
            _save(rgb.convert("1"), "PPM"),
            b"P2\n%d %d\n255\n%s" % (*grey.size, " ".join(map(str, grey.tobytes())).encode()),
        ],
        "tga": [
            _save(rgb, "TGA"),
            _save(palette, "TGA"),
            _save(alpha, "TGA", compression="tga_rle"),
        ],
    }
    if features.check("webp"):
        originals["webp"] = [
            _save(rgb, "WEBP", exif=turned),
            _save(alpha, "WEBP"),
            _save(rgb, "WEBP", lossless=True),
            _save(rgb, "WEBP", more=frames[1:]),
        ]
    if features.check("jpg_2000"):
        originals["jpeg2000"] = [
            _save(rgb, "JPEG2000"),
            _save(alpha, "JPEG2000", irreversible=True, tile_size=(32, 32)),
            _save(deep, "JPEG2000", no_jp2=True),
        ]
    if features.check("avif"):
        originals["avif"] = [
            _save(rgb, "AVIF"),
            _save(alpha, "AVIF"),
            _save(rgb, "AVIF", more=frames[1:]),
        ]
    return originals


def picture_cases(originals: Originals, count: int, seed: int, seconds: float) -> list[Case]:
    """Damage pictures; the formats take turns."""
    kinds = list(originals)
    cases = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        draw = random.Random(f"{seed}/image/{number}")
        data = _damage(kind, originals[kind], draw)
        contract = _draw_contract(draw)
        cases.append(
            Case(
                name=f"{kind}-{number}",
                kind=kind,
                run=partial(_decode, data, contract),
                save=partial(_write, data, f"{kind}-{number}.{kind}"),
                seconds=seconds,
            )
        )
    return cases


def folder_cases(
    originals: Originals, count: int, seed: int, seconds: float, scratch: Path
) -> list[Case]:
    """Mix damaged pictures among good ones, in folders that are extracted as a whole."""
    cases = []
    for number in range(count):
        draw = random.Random(f"{seed}/folder/{number}")
        kinds = draw.choices(list(originals), k=FOLDER_DAMAGED)
        damaged = [_damage(kind, originals[kind], draw) for kind in kinds]
        cases.append(
            Case(
                name=f"folder-{number}",
                kind="whole folders",
                run=partial(_extract, damaged, scratch / f"folder-{number}"),
                save=partial(_write_folder, damaged),
                seconds=seconds * 3,
            )
        )
    return cases


def _damage(kind: str, files: list[bytes], draw: random.Random) -> bytes:
    """Return a damaged copy of one of the files of a kind."""
    data = draw.choice(files)
    way = draw.random()
    if way < 0.2:
        data = declare_size(data, (WIDTH, HEIGHT), draw)
    if way > 0.05:  # The rest only declares another size.
        relatives = [other for other in files if other is not data]
        data = mutate_bytes(data, draw, relatives)
    return reseal_png(data) if kind == "png" and draw.random() < 0.7 else data


def _draw_contract(draw: random.Random) -> InputSpec:
    return InputSpec(
        height=draw.choice((8, 32, 100)),
        width=draw.choice((8, 32, 100)),
        channels=draw.choice((1, 3, 3)),
        resize=draw.choice(("stretch", "crop", "pad")),
        exif=draw.choice(("apply", "ignore")),
    )


def _decode(data: bytes, contract: InputSpec) -> None:
    pixels = decode_image(data, contract)
    expected = (contract.height, contract.width, contract.channels)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise OtherValues(f"pixels of {pixels.dtype}, {pixels.shape} instead of {expected}")


def _extract(damaged: list[bytes], folder: Path) -> None:
    """Extract good pictures alone, then with damaged ones among them; compare.

    Each damaged picture must be a row or a failure, as when it is decoded by itself.
    """
    photos = folder / "photos"
    write_images(FOLDER_GOOD, photos)
    alone = _rows(photos, folder / "alone.h5", failed=0)
    _write_folder(damaged, photos)
    readable = sum(_is_readable(data) for data in damaged)
    together = _rows(photos, folder / "together.h5", failed=len(damaged) - readable)
    if len(together) != len(alone) + readable:
        raise OtherValues(f"{len(together)} rows of {len(alone)} good and {readable} readable")
    if {key: together.get(key) for key in alone} != alone:
        raise OtherValues("the rows of good pictures are others")


def _rows(photos: Path, output: Path, *, failed: int) -> dict[str, bytes]:
    report = featx.extract(photos, model="toy:colors", layers=["map"], output=output)
    if (report.failed, report.done) != (failed, report.rows):
        raise OtherValues(f"{failed} failures expected, reported: {report}")
    with featx.open_store(output) as store:
        values = store.table("map", pool="flatten").values
        if len(store.failures) != failed:
            raise OtherValues(f"{failed} failures expected, {len(store.failures)} in the store")
        return {key: row.tobytes() for key, row in zip(store.keys, values, strict=True)}


def _is_readable(data: bytes) -> bool:
    try:
        decode_image(data, InputSpec(8, 8))
    except ImageError:
        return False
    return True


def _write(data: bytes, name: str, folder: Path) -> None:
    (folder / name).write_bytes(data)


def _write_folder(damaged: list[bytes], folder: Path) -> None:
    for number, data in enumerate(damaged):
        # Their names are among those of the good pictures; Pillow goes by the content.
        (folder / f"image_{number}_damaged.jpg").write_bytes(data)


def _photograph() -> Image.Image:
    """Return a picture with gradients and noise: every part of a decoder has something to do."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    colors = np.stack([rows * 5, columns * 3, (rows + columns) * 2], axis=-1)
    noise = np.random.default_rng(0).integers(0, 30, colors.shape)
    return Image.fromarray((colors + noise).clip(0, 255).astype(np.uint8))


def _save(
    image: Image.Image, file_format: str, *, more: Sequence[Image.Image] = (), **options: Any
) -> bytes:
    """Return a picture, with `more` frames or pages if there are any, as a file."""
    if more:
        # Copies: Pillow leaves one format's settings in a frame, for the next to stumble over.
        options |= {"save_all": True, "append_images": [frame.copy() for frame in more]}
    file = io.BytesIO()
    image.copy().save(file, file_format, **options)
    return file.getvalue()


def _png(header: bytes, scanlines: bytes) -> bytes:
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    return reseal_png(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(body)) + kind + body + bytes(4) for kind, body in chunks)
    )


def _deep_png(pixels: np.ndarray) -> bytes:
    """Return a PNG of 16-bit colour, which Pillow reads but does not write."""
    lines = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in pixels)
    return _png(struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0), lines)


def _interlaced_png(pixels: np.ndarray) -> bytes:
    """Return an interlaced PNG (Adam7: first row and column, then the steps, of each pass)."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    parts = [pixels[top::down, left::right] for top, left, down, right in passes]
    lines = b"".join(b"\0" + row.tobytes() for part in [*parts, pixels[1::2]] for row in part)
    return _png(struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1), lines)


def _tiled_tiff(pixels: np.ndarray) -> bytes:
    """Return an uncompressed TIFF of tiles of 32 x 32, which Pillow reads but does not write."""
    side = 32
    padded = np.pad(pixels, ((0, -HEIGHT % side), (0, -WIDTH % side), (0, 0)))
    tiles = [
        padded[top : top + side, left : left + side].tobytes()
        for top in range(0, HEIGHT, side)
        for left in range(0, WIDTH, side)
    ]
    count, short, long = len(tiles), 3, 4
    # Tag, type, number of values, value: three or more values stand behind the directory.
    tags: list[tuple[int, int, tuple[int, ...]]] = [
        (256, long, (WIDTH,)),
        (257, long, (HEIGHT,)),
        (258, short, (8, 8, 8)),
        (259, short, (1,)),
        (262, short, (2,)),
        (277, short, (3,)),
        (322, long, (side,)),
        (323, long, (side,)),
        (324, long, (0,) * count),
        (325, long, (len(tiles[0]),) * count),
    ]
    behind = 8 + 2 + 12 * len(tags) + 4
    first_tile = behind + sum(4 * len(values) for _, _, values in tags if len(values) > 1)
    directory, values_behind = b"", b""
    for tag, kind, values in tags:
        if tag == 324:
            values = tuple(first_tile + number * len(tiles[0]) for number in range(count))
        packed = struct.pack(f"<{len(values)}{'H' if kind == short else 'I'}", *values)
        directory += struct.pack("<HHI", tag, kind, len(values))
        if len(values) > 1:
            directory += struct.pack("<I", behind + len(values_behind))
            values_behind += packed.ljust(4 * len(values), b"\0")
        else:
            directory += packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + directory + bytes(4) + values_behind + b"".join(tiles)
