"""How messages name what featx takes: as options in the shell, as keywords in Python.

Errors and notes are written below the command line, which does not know who called. So they do
not spell an option themselves::

    f"{path} exists. Choose another file with {option('output')}."

is ``Choose another file with -o.`` in the shell and ``Choose another file with output=.`` in
Python. Options have the names that they have in Python.
"""

from __future__ import annotations

from featx.errors import join_names
from featx.host import is_own_process

SHELL_SPELLINGS = {
    "keys": "--key",
    "layers": "--layer",
    "model": "-m",
    "output": "-o",
}
"""Keyword → its option, where that is not the keyword with ``--`` and hyphens."""

FUNCTIONS = {
    "audit": "audit",
    "duplicates": "find_duplicates",
    "evaluate": "evaluate",
    "export": "export_store",
    "extract": "extract",
    "fine-tune": "fine_tune",
    "fit-head": "fit_head",
    "index": "build_index",
    "info": "open_store(...).failures",
    "layers": "layers",
    "map": "map_features",
    "merge": "merge_stores",
    "pack": "pack_store",
    "predict": "predict",
    "search": "search",
    "select": "select",
    "serve": "serve",
    "verify": "verify_store",
}
"""Command → what does the same in the library."""


def option(name: str, *values: object) -> str:
    """Name an option, as whoever called featx would write it.

    Args:
        name: The keyword.
        values: What it may be set to: True for a flag, ``(height, width)`` for a size.

    Example:
        >>> option("img_size"), option("img_size", (224, 320)), option("overwrite", True)
        ('img_size=', 'img_size=(224, 320)', 'overwrite=True')
        >>> option("preprocess", "tf", "unit", "raw")
        "preprocess='tf', 'unit' or 'raw'"
    """
    spelling = SHELL_SPELLINGS.get(name, f"--{name.replace('_', '-')}")
    if values not in ((), (True,)):
        spelling += f" {join_names([_in_shell(value) for value in values])}"
    return either(shell=spelling, python=f"{name}={join_names([repr(value) for value in values])}")


def command(name: str, *arguments: str, **options: object) -> str:
    """Name a command, or the function that does the same, as something to be run.

    Args:
        name: The command.
        arguments: What is named first, such as a model.
        options: Keywords of the function, with their values.

    Example:
        >>> command("verify", repair=True)
        '`featx.verify_store(..., repair=True)`'
        >>> command("fit-head")
        '`featx.fit_head`'
    """
    given = [option(key, value) for key, value in options.items()]
    call = ", ".join([*([repr(argument) for argument in arguments] or ["..."]), *given])
    return either(
        shell=f"`{' '.join(['featx', name, *arguments, *given])}`",
        python=f"`featx.{FUNCTIONS[name]}{f'({call})' if arguments or given else ''}`",
    )


def either(*, shell: str, python: str) -> str:
    """Return what suits whoever called featx; for what `option` and `command` cannot say."""
    return shell if is_own_process() else python


def names_option(text: str, name: str) -> bool:
    """Whether a message, such as one that a store holds, names an option in either spelling.

    Example:
        >>> names_option("too large (--max-pixels changes it)", "max_pixels")
        True
    """
    return f"--{name.replace('_', '-')}" in text or f"{name}=" in text


def _in_shell(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)
