"""Names for the outputs of a model's own classifier: those of ImageNet, or of a file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from featx.class_lists import ClassEntry, read_class_list
from featx.errors import InvalidValue
from featx.units import format_count
from featx.wording import option

IMAGENET = "imagenet"
"""The value of ``--labels`` that takes the classes of ImageNet, as Keras numbers them."""

_IMAGENET_FILE = Path(__file__).with_name("imagenet_classes.txt")
"""WordNet id and name of each class, as Keras numbers them; from where is in NOTICE."""

_WITHOUT_BACKGROUND, _WITH_BACKGROUND = 1000, 1001
"""Numbers of ImageNet's classes."""

BACKGROUND = "background"
"""First class of models of TF-Slim and TensorFlow Hub, which thus have 1,001 for ImageNet."""


@dataclass(frozen=True, slots=True)
class ClassNames:
    """What a classifier's outputs are called.

    Attributes:
        names: One for each output, as the source writes them; two may be equal (ImageNet has
            two cranes).
        wordnet_ids: For each output its WordNet id such as ``n01440764``, or None.
        source: Where the names come from, for messages.
        note: What was done to make them fit; empty where they did.
    """

    names: tuple[str, ...]
    wordnet_ids: tuple[str | None, ...]
    source: str
    note: str = ""
    _numbers: Mapping[str, frozenset[int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers: dict[str, set[int]] = defaultdict(set)
        for number, (name, wordnet_id) in enumerate(zip(self.names, self.wordnet_ids, strict=True)):
            for spelling in [name, *name.split(","), wordnet_id or name]:
                numbers[_fold(spelling)].add(number)
        frozen = {name: frozenset(found) for name, found in numbers.items()}
        object.__setattr__(self, "_numbers", frozen)

    def find(self, label: str) -> frozenset[int]:
        """Return the outputs that a label refers to, by name, synonym or WordNet id.

        Case, underscores and hyphens do not matter.

        Example:
            >>> labels = ClassNames(("English_springer", "tench, Tinca tinca"), (None, None), "")
            >>> labels.find("english springer"), labels.find("tench"), labels.find("cat")
            (frozenset({0}), frozenset({1}), frozenset())
        """
        return self._numbers.get(_fold(label), frozenset())


@dataclass(frozen=True, slots=True)
class NameList:
    """Names as ``--labels`` gives them, before it is known how many a model needs.

    Attributes:
        labels: ``imagenet``, or the file.
        entries: Each name, with its WordNet id where the source gives one.
    """

    labels: str
    entries: list[ClassEntry]

    def fit(self, num_outputs: int) -> ClassNames:
        """Return a name for each output.

        Raises:
            InvalidValue: If the number of names differs from that of the outputs.
        """
        is_imagenet = self.labels == IMAGENET
        if is_imagenet and num_outputs not in (_WITHOUT_BACKGROUND, _WITH_BACKGROUND):
            raise InvalidValue(
                f"The model gives {num_outputs:,} values for an image; ImageNet has 1,000 "
                "classes (1,001 with 'background'). Name the model's own classes with "
                f"{option('labels', 'FILE')}."
            )
        entries, note = self._fit_background(num_outputs)
        if len(entries) != num_outputs:
            raise InvalidValue(
                f"The model gives {num_outputs:,} values for an image, and {self.labels!r} has "
                f"{format_count(len(entries), 'name')}.{_advise(entries, num_outputs)}"
            )
        return ClassNames(
            tuple(name for name, _ in entries),
            tuple(wordnet_id for _, wordnet_id in entries),
            IMAGENET if is_imagenet else repr(self.labels),
            note,
        )

    def _fit_background(self, num_outputs: int) -> tuple[list[ClassEntry], str]:
        """Return the entries, of ImageNet with or without 'background', and what was done."""
        entries = self.entries
        numbers = (len(entries), num_outputs)
        if numbers == (_WITHOUT_BACKGROUND, _WITH_BACKGROUND) and not _has_background(entries):
            note = f"the model has 1,001 classes: {BACKGROUND!r} comes before the 1,000 names"
            return [(BACKGROUND, None), *entries], note
        if numbers == (_WITH_BACKGROUND, _WITHOUT_BACKGROUND) and _has_background(entries):
            return entries[1:], f"the model has 1,000 classes: {BACKGROUND!r} is left out"
        return entries, ""


def read_names(labels: str | Path) -> NameList:
    """Read what ``--labels`` names. No model is needed yet, so that a mistake costs no time.

    Args:
        labels: ``imagenet``, or a file: text with one name per line, CSV with the columns index
            and name, or JSON as Keras writes it, ``{"0": ["n01440764", "tench"], ...}``.

    Raises:
        InvalidValue: If the file cannot be read.

    Example:
        >>> read_names("no-such-file.txt")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidValue: labels= takes 'imagenet' or a file with the names of ...
    """
    if str(labels) == IMAGENET:
        return _read_imagenet()
    path = Path(labels)
    if not path.exists():
        raise InvalidValue(
            f"{option('labels')} takes 'imagenet' or a file with the names of the classes. "
            f"Received: {str(path)!r}, which does not exist."
        )
    return NameList(str(path), read_class_list(path))


def _read_imagenet() -> NameList:
    """Return ImageNet's 1,000 classes."""
    lines = _IMAGENET_FILE.read_text(encoding="ascii").splitlines()
    ids_and_names = [line.split(" ", 1) for line in lines]
    return NameList(IMAGENET, [(name, wordnet_id) for wordnet_id, name in ids_and_names])


def _has_background(entries: list[ClassEntry]) -> bool:
    return bool(entries) and entries[0][0].casefold() == BACKGROUND


def _advise(entries: list[ClassEntry], num_outputs: int) -> str:
    """Return a sentence, after a space, on what may be wrong if the numbers differ by one."""
    has_background = _has_background(entries)
    if num_outputs == len(entries) + 1 and not has_background:
        return (
            f" Models of TF-Slim and TensorFlow Hub have {BACKGROUND!r} before all others: if this "
            f"is one, put {BACKGROUND!r} in front of the names."
        )
    if num_outputs == len(entries) - 1:
        if not has_background:
            return " Is one name too many, such as a title in the first line?"
        return (
            f" Labels of TF-Slim and TensorFlow Hub begin with {BACKGROUND!r}, which models of "
            "Keras do not have: take that one away."
        )
    return ""


def _fold(name: str) -> str:
    return " ".join(re.sub(r"[_-]", " ", name).casefold().split())
