"""The errors featx raises: what was expected, what came, what to do.

Every error a user can cause derives from `FeatxError` and from the built-in
exception it resembles, so both ``except featx.errors.StoreNotFound`` and
``except FileNotFoundError`` work. Nothing below the command line exits or
prints; the command line turns these into one line on stderr.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class FeatxError(Exception):
    """Base of every error that featx raises on purpose. All of them can be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt by calling the class with the message, which some here do not take.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[FeatxError], arguments: tuple[Any, ...]) -> FeatxError:
    """Make an error again from its message, without its own constructor."""
    error = kind.__new__(kind, *arguments)
    super(FeatxError, error).__init__(*arguments)
    return error


class InvalidValue(FeatxError, ValueError):
    """An argument or option has a value that featx cannot use."""


class InvalidType(InvalidValue, TypeError):
    """An argument or option is of a type that featx cannot use, such as a text for a number."""


class InvalidSelection(InvalidType, IndexError):
    """Rows were chosen by what chooses none, such as a fraction: for NumPy, an IndexError."""


class UnknownName(FeatxError, LookupError):
    """A model, layer, class or key was named that does not exist.

    Attributes:
        kind: What kind of thing was looked up, for example ``"layer"``.
        name: The name as it was given.
        suggestions: Existing names that look like it, best first.
    """

    def __init__(
        self, kind: str, name: str, candidates: Iterable[str], *, remedy: str = ""
    ) -> None:
        self.kind = kind
        self.name = name
        self.suggestions = closest_names(name, candidates)
        message = f"There is no {kind} named {name!r}."
        if self.suggestions:
            message += f" Did you mean {join_names(self.suggestions)}?"
        super().__init__(f"{message} {remedy}".strip())


class UnknownImage(UnknownName, IndexError):
    """A key was named, perhaps as the index of an array, that is not in the store."""


class UnknownOption(UnknownName, TypeError):
    """A function was given a keyword that it does not take."""

    def __init__(self, function: str, name: str, candidates: Iterable[str]) -> None:
        super().__init__(
            f"option of featx.{function}()", name, candidates, remedy=f"See help(featx.{function})."
        )


class RepeatedOption(InvalidValue, TypeError):
    """An option was given twice: in a group of options, and as a keyword."""

    def __init__(self, name: str, group: str) -> None:
        super().__init__(
            f"{name!r} was given twice: in {group}(...) and as a keyword. Leave one of them out."
        )


class NotInstalled(FeatxError, LookupError):
    """A file names something that comes from another package, which is not installed here.

    Attributes:
        kind: What kind of thing it is, for example ``"kind of head"``.
        name: Its name.
        package: The package that brings it; None where the file does not say.
    """

    def __init__(self, kind: str, name: str, file: str, package: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.package = package
        remedy = (
            f"It comes with the package {package!r}: pip install {package}."
            if package
            else "It comes from a newer featx (pip install -U featx), or from an add-on: install "
            "the package that the file was made with."
        )
        super().__init__(f"{file} needs the {kind} {name!r}, which is not installed. {remedy}")


class AddOnError(FeatxError, ImportError):
    """A package that adds something to featx cannot be imported."""


class LibraryMissing(FeatxError, ImportError):
    """A library that a call needs is not installed."""

    def __init__(self, library: str, needed_by: str) -> None:
        super().__init__(f"{needed_by} needs {library}: pip install {library}")


class ClusterError(FeatxError, RuntimeError):
    """A cluster cannot be reached, has no room, or has lost its workers."""


class AmbiguousName(FeatxError, LookupError):
    """A name has several readings; the message lists the spellings to choose from."""


class ModelError(FeatxError, RuntimeError):
    """A model could not be loaded, or cannot do what was asked of it."""


class DownloadNotAllowed(ModelError):
    """A model that only a file names is not here, and may not be fetched."""

    def __init__(self, what: str, option: str) -> None:
        super().__init__(
            f"{what} would have to be downloaded, and only a file asks for it: nothing is fetched "
            f"because of what a file says. If you trust the file, {option} fetches it."
        )


class ForkError(FeatxError, RuntimeError):
    """A library was used before this process was forked, and cannot run in it."""


class ImageError(FeatxError, ValueError):
    """One image could not be used. Extraction records it and goes on.

    Attributes:
        reason: Why, in a few words, without the path.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ImagesNotFound(FeatxError, FileNotFoundError):
    """No images where images were expected."""


class TooManyFailures(FeatxError, RuntimeError):
    """More images failed than ``--strict`` or ``--max-failures`` allows."""


class AllImagesFailed(FeatxError, ValueError):
    """None of the images could be used.

    Attributes:
        report: The report of the call, with all failures: a `featx.ExtractReport`,
            `featx.PredictReport` or `featx.SearchReport`.
    """

    def __init__(self, message: str, report: Any) -> None:  # This module knows no others.
        self.report = report
        super().__init__(message)


class DimensionMismatch(FeatxError, ValueError):
    """An array has another shape than is needed."""


class StoreError(FeatxError, OSError):
    """A feature store could not be written or read."""


class StoreNotFound(StoreError, FileNotFoundError):
    """There is no feature store at the given path."""


class StoreDamaged(StoreError, ValueError):
    """A file is not a feature store, or its parts contradict each other."""


class StoreLocked(StoreError, BlockingIOError):
    """Another process is writing to the same store, or has it open for writing."""


class HeadError(FeatxError, ValueError):
    """A head could not be trained, written or read."""


class TrainingError(FeatxError, RuntimeError):
    """A network could not be trained, or a run of training not be continued."""


class IndexFileError(FeatxError, ValueError):
    """A vector index could not be built, written or read."""


class ExportError(FeatxError, OSError):
    """Features could not be written in another format."""


class FingerprintMismatch(FeatxError, ValueError):
    """Two things were made by different models, preprocessing, layers or pooling.

    Attributes:
        differences: One ``(field, expected, received)`` for each field that differs.
    """

    def __init__(
        self, subject: str, differences: Sequence[tuple[str, object, object]], *, remedy: str
    ) -> None:
        self.differences = tuple(differences)
        fields = "; ".join(
            f"{field}: expected {expected}, received {received}"
            for field, expected, received in self.differences
        )
        super().__init__(f"{subject} {fields}. {remedy}")


def closest_names(name: str, candidates: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Return the candidates that look most like `name`, best first.

    Args:
        name: What was typed.
        candidates: What exists.
        limit: The most names to return.

    Returns:
        At most `limit` names; none when nothing is close.

    Example:
        >>> closest_names("block4_pol", ["block4_pool", "fc1", "block3_pool"])
        ('block4_pool', 'block3_pool')
    """
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(candidate.casefold(), candidate)
    typed = name.casefold()
    begun = sorted((folded for folded in by_folded if folded.startswith(typed)), key=len)
    close = difflib.get_close_matches(typed, list(by_folded), n=limit, cutoff=0.6)
    ranked = dict.fromkeys([*(begun if len(typed) > 2 else []), *close])
    return tuple(by_folded[folded] for folded in list(ranked)[:limit])


def join_names(names: Sequence[str], *, conjunction: str = "or") -> str:
    """Write names as a person would: ``a, b or c``.

    Example:
        >>> join_names(["conv1", "conv2", "fc1"])
        'conv1, conv2 or fc1'
    """
    if len(names) <= 1:
        return "".join(names)
    return f"{', '.join(names[:-1])} {conjunction} {names[-1]}"


def first_line(error: object) -> str:
    """Return the first line of a foreign error's message, for use inside one of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
