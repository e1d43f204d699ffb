"""Text of libtiff: the reason of its picture, and of no other; none of it on stderr."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from featx.errors import ImageError
from featx.images.decode import decode_image
from featx.input_spec import InputSpec

CONTRACT = InputSpec(height=16, width=16)


def tiff(compression: str) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
    Image.fromarray(pixels).save(file, "TIFF", compression=compression)
    return file.getvalue()


def damaged(compression: str) -> bytes:
    data = bytearray(tiff(compression))
    start = 8 if compression == "zstd" else 500
    data[start : start + 100] = b"\xff" * 100
    return bytes(data)


DAMAGED = {
    "tiff_lzw": "Using code not yet in table",
    "tiff_adobe_deflate": "Decoding error at scanline",
    "zstd": "ZSTD_decompressStream",
}


@pytest.mark.parametrize("compression", DAMAGED)
def test_what_libtiff_says_is_the_reason(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(damaged(compression), CONTRACT)
    assert DAMAGED[compression] in caught.value.reason
    assert caught.value.reason.endswith("(libtiff)")
    assert capfd.readouterr() == ("", "")


def test_pictures_that_are_decoded_together_have_their_own_reasons(
    capfd: pytest.CaptureFixture[str],
) -> None:
    files = {name: damaged(name) for name in DAMAGED} | {"good": tiff("tiff_lzw")}
    reasons: dict[str, set[str]] = {name: set() for name in files}

    def decode(name: str) -> None:
        for _ in range(20):
            try:
                decode_image(files[name], CONTRACT)
            except ImageError as error:
                reasons[name].add(error.reason)

    threads = [threading.Thread(target=decode, args=(name,)) for name in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons.pop("good") == set()
    for name, found in reasons.items():
        (reason,) = found
        assert DAMAGED[name] in reason
    assert capfd.readouterr().err == ""


def test_other_threads_of_the_program_hear_libtiff_as_before(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def load() -> None:
        with pytest.raises(OSError, match="decoder error"):
            Image.open(io.BytesIO(damaged("tiff_lzw"))).load()

    with pytest.raises(ImageError):
        decode_image(damaged("tiff_lzw"), CONTRACT)
    load()
    assert "Using code not yet in table" in capfd.readouterr().err
