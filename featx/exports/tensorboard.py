"""A folder for TensorBoard's Embedding Projector: points, their names, their pictures.

What the projector expects is taken from TensorBoard 2.21: ``projector_plugin.py`` (the server) and
``vz_projector/data-provider.ts`` (the page).
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from featx.atomic import replace_file
from featx.exports.source import ExportSource, Written, format_rows
from featx.exports.sprite import Sprite, draw_sprite
from featx.images.sources import SHEET_MARK

SUFFIX = None
KEEPS_MAPS = False

MAX_POINTS = 100_000
"""Points that the projector shows: ``LIMIT_NUM_POINTS`` in ``data-provider-server.ts``."""

TENSORS = "tensors.tsv"
METADATA = "metadata.tsv"
SPRITE = "sprite.png"
CONFIG = "projector_config.pbtxt"
"""Of the four names, only this one is prescribed by TensorBoard."""

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def list_files(output: Path) -> tuple[Path, ...]:
    """Return the files in the folder."""
    return tuple(output / name for name in (TENSORS, METADATA, SPRITE, CONFIG))


def write(source: ExportSource, output: Path) -> Written:
    """Write the folder, with at most as many rows as the projector shows.

    Vectors are written as text. TensorBoard takes a file for binary when it meets a line that is
    not UTF-8, and so fails if the first line (up to a byte 10) happens to be: in 3 of 300 cases
    with sparse features.
    """
    listener, store = source.listener, source.store
    count = min(len(store), MAX_POINTS)
    if count < len(store):
        listener.note(
            f"the projector shows {MAX_POINTS:,} points at most: only the first of the "
            f"{len(store):,} rows are written"
        )
    is_new = not output.exists()
    output.mkdir(exist_ok=True)
    try:
        # The configuration refers to the other files: entered first, it gets its name last.
        with contextlib.ExitStack() as files:
            config = files.enter_context(replace_file(output / CONFIG))
            _write_tensors(source, files.enter_context(replace_file(output / TENSORS)), count)
            _write_metadata(source, files.enter_context(replace_file(output / METADATA)), count)
            sprite = _draw(source, count)
            if sprite is not None:
                save_sprite(sprite, files.enter_context(replace_file(output / SPRITE)))
            config.write_text(_describe(source, count, sprite), encoding="utf-8")
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                output.rmdir()
        raise
    listener.note(
        f"to look at it: tensorboard --logdir {shlex.quote(str(output))}, then choose Projector "
        "(pip install tensorboard)"
    )
    names = [name for name in (TENSORS, METADATA, SPRITE, CONFIG) if name != SPRITE or sprite]
    return Written(count, tuple(output / name for name in names))


def _write_tensors(source: ExportSource, path: Path, count: int) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        for _, block in source.iter_blocks(limit=count):
            file.writelines("\t".join(texts) + "\n" for texts in format_rows(block))


def _write_metadata(source: ExportSource, path: Path, count: int) -> None:
    keys, labels = source.store.keys[:count], source.store.labels[:count]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if not any(labels):
            # A single column has no header: a first line without a tab is taken for a row.
            file.writelines(f"{_escape(key)}\n" for key in keys)
            return
        file.write("label\tkey\n")
        for key, label in zip(keys, labels, strict=True):
            file.write(f"{_escape(label or '')}\t{_escape(key)}\n")


def _escape(text: str) -> str:
    r"""Write a name as one field of one line.

    Example:
        >>> _escape("a\tb.png"), _escape(" ")
        ('a\\tb.png', '\\x20')
    """
    if text and not text.strip():  # The projector drops empty lines, and all further names move up.
        return "".join(f"\\x{ord(char):02x}" for char in text)
    return text.translate(_ESCAPES)


def _draw(source: ExportSource, count: int) -> Sprite | None:
    """Draw the sprite; None if none of the pictures can be read."""
    listener, root = source.listener, source.store.root
    keys = source.store.keys[:count]
    sprite = draw_sprite(root, keys, listener, allow_download=source.allow_download)
    if not sprite.failures:
        return sprite
    key, reason = sprite.failures[0]
    example = f"{key}: {reason}"
    if len(sprite.failures) == count:
        listener.note(
            f"none of the pictures can be read below {str(root)!r} ({example}): points without them"
        )
        return None
    listener.note(
        f"{len(sprite.failures):,} of {count:,} pictures cannot be read, their tiles are grey "
        f"({example})"
    )
    return sprite


def save_sprite(sprite: Sprite, path: Path) -> None:
    """Write a sprite as PNG, marked so that `extract` does not take it for a photograph."""
    mark = PngInfo()
    mark.add_text(SHEET_MARK, "made by featx export")
    sprite.image.save(path, "PNG", pnginfo=mark)


def _describe(source: ExportSource, count: int, sprite: Sprite | None) -> str:
    """Return the configuration, a ProjectorConfig in protobuf's text format."""
    # The page puts the name into URLs unescaped: a layer such as `relu#2` would cut them off.
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", source.spec.name)
    lines = [
        "embeddings {",
        f'  tensor_name: "{name}"',
        f'  tensor_path: "{TENSORS}"',
        f"  tensor_shape: {count}",
        f"  tensor_shape: {source.width}",
        f'  metadata_path: "{METADATA}"',
    ]
    if sprite is not None:
        lines += [
            "  sprite {",
            f'    image_path: "{SPRITE}"',
            f"    single_image_dim: {sprite.tile}",
            f"    single_image_dim: {sprite.tile}",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])
