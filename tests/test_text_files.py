"""Text as other programs write it."""

from __future__ import annotations

import pytest

from featx.text_files import decode_text

TEXT = "path,label\nx/0.jpg,Größe\n"


@pytest.mark.parametrize(
    ("encoding", "guess"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-16-le", None),
        ("utf-16-be", None),
        ("utf-32", None),
        ("latin-1", "Latin-1"),
        ("cp1252", "Latin-1"),
    ],
)
def test_encodings(encoding: str, guess: str | None) -> None:
    assert decode_text(TEXT.encode(encoding)) == (TEXT, guess)


def test_bytes_that_windows_1252_lacks_are_latin_1() -> None:
    assert decode_text(b"\x81\xe9") == ("\x81é", "Latin-1")
    assert decode_text("5 €".encode("cp1252")) == ("5 €", "Latin-1")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="zero bytes"):
        decode_text(b"path,label\n\xff\xfe\x00")
