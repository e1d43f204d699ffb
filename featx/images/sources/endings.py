"""Endings of names: which are of pictures that are read, and of pictures that are not."""

from __future__ import annotations

from collections.abc import Mapping

from featx.errors import join_names

JPEG_SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .jif .jfi .pjpeg .pjp .mpo .jps".split())
"""Endings of JPEGs, of those with several pictures too."""

IMAGE_SUFFIXES = JPEG_SUFFIXES | frozenset(
    ".png .apng .gif .bmp .dib .webp "
    ".tif .tiff .ppm .pgm .pbm .pnm .avif .avifs .heic .heif .hif .jp2 .j2k .j2c .jpc .jpf .jpx "
    ".tga".split()
)
"""Endings of image files in a folder or an archive (a file that is named explicitly may have any
ending)."""

_RAW = frozenset(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .gpr .iiq .kdc .mef .mrw .nef .nrw .orf .pef .raf "
    ".rw2 .rwl .sr2 .srf .srw .x3f".split()
)
_JPEG_XL = frozenset([".jxl"])
_OTHERS = frozenset(
    ".bpg .cur .dcm .dds .dpx .emf .eps .exr .fit .fits .flif .hdp .hdr .icns .ico .iff .jls .jng "
    ".jxr .kra .lbm .mng .ndpi .ora .pam .pcd .pct .pcx .pfm .pict .psb .psd .qoi .ras .rgb .rgba "
    ".sgi .svg .svgz .svs .wdp .wmf .xbm .xcf .xpm".split()
)

UNREAD_SUFFIXES = _RAW | _JPEG_XL | _OTHERS
"""Endings of pictures that are not read: a folder's are counted, so that none disappears."""


def describe_unread(counts: Mapping[str, int], shown: str, *, has_images: bool) -> str:
    """Say how many pictures are not read, and what would help.

    Args:
        counts: Ending → how many files in a folder or archive have it.
        shown: The folder or archive as it was given.
        has_images: Whether there are also pictures that are read.

    Example:
        >>> describe_unread({".nef": 12, ".jxl": 2}, "photos", has_images=True)
        "In 'photos', pictures in formats that featx does not read: 12 .nef, 2 .jxl. To use them, \
develop raw files first, or take out their previews (exiftool -b -JpgFromRaw); convert JPEG \
XL (djxl A.jxl A.png)."
    """
    ordered = sorted(counts, key=lambda ending: (-counts[ending], ending))
    numbers = ", ".join(f"{counts[ending]:,} {ending}" for ending in ordered)
    advice = []
    if not _RAW.isdisjoint(counts):
        advice.append(
            "develop raw files first, or take out their previews (exiftool -b -JpgFromRaw)"
        )
    if not _JPEG_XL.isdisjoint(counts):
        advice.append("convert JPEG XL (djxl A.jxl A.png)")
    if others := sorted(_OTHERS.intersection(counts)):
        advice.append(f"convert {join_names(others, conjunction='and')} to PNG")
    found = "pictures in formats that featx does not read"
    begin = f"In {shown!r}, {found}" if has_images else f"In {shown!r} there are only {found}"
    return f"{begin}: {numbers}. To use them, {'; '.join(advice)}."
