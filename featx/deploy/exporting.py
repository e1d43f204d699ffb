"""`export_head`: a head with its model as one file for other programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from featx.arguments import check_given_path, check_head, plain_arguments
from featx.checks.texts import check_choice
from featx.deploy.card import write_card
from featx.deploy.checking import ExportComparison, compare, predict_apart, predict_with_featx
from featx.deploy.forms import FORMS, Form, Job, Predict, choose_form
from featx.deploy.keras_model import find_layer
from featx.deploy.onnx_files import write_around
from featx.deploy.parts import take_onnx, take_parts
from featx.deploy.pictures import (
    MOST_PICTURES,
    CheckPicture,
    find_calibration,
    find_pictures,
    is_given,
)
from featx.deploy.placing import ExportFiles, folder_beside
from featx.errors import HeadError, InvalidValue
from featx.events import Listener, Verbose, choose_listener
from featx.heads.head import Head, load_head
from featx.host import printing_to_stderr
from featx.images.sources import Images
from featx.models import restore_model
from featx.models.backbone import Backbone
from featx.models.in_memory import InMemory, check_model
from featx.models.keras_settings import build_apart
from featx.shown import Shown
from featx.specs import DEFAULT_HEAD, Quantize
from featx.units import format_share
from featx.wording import option


@dataclass(frozen=True, slots=True, repr=False)
class HeadExportReport(Shown):
    """What was exported, and how it compares with `featx predict`.

    Attributes:
        output: The file or folder.
        form: ``keras``, ``savedmodel``, ``tflite`` or ``onnx``.
        quantize: How it was made smaller.
        bytes: Its size.
        labels: The file with a class in each line; None for a regression.
        card: The model card.
        comparison: On the same pictures.
        calibrated_on: Photographs that an ``int8`` file was calibrated with.
    """

    output: str
    form: str
    quantize: str
    bytes: int
    labels: str | None
    card: str
    comparison: ExportComparison
    calibrated_on: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


@plain_arguments(head=check_head, output=check_given_path, model=check_model)
def export_head(
    head: str | Path | Head = DEFAULT_HEAD,
    *,
    output: str | Path,
    quantize: Quantize = "none",
    check: Images = (),
    calibrate: Images = (),
    weights: str | Path | None = None,
    model: Any = None,
    overwrite: bool = False,
    trust_model_code: bool = False,
    allow_download: bool = False,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
) -> HeadExportReport:
    """Write a head together with its model as one model that needs no featx.

    It is loaded again in a new process and compared with `featx.predict` on the same pictures
    before it gets its name.

    Args:
        head: A head, or its folder.
        output: ``.keras``: a model of Keras. ``.tflite``: for LiteRT. ``.onnx``: for ONNX Runtime
            (needs ``featx[onnx]``). Without an ending, a folder: a SavedModel. A file
            ``labels.txt``, of a class in each line, and a model card are written beside a file, or
            into the folder.
        quantize: Of a ``.tflite`` file: ``none``; ``float16``: half the size; ``int8``: a quarter.
        check: Images to compare with; those of the head's store that are where they were, at most
            64, those first that the head was not fitted on, when empty.
        calibrate: Images by which ``int8`` learns which values occur; at most 128 of the head's
            store that are not compared, those first that the head was fitted on, when empty.
        weights: Where the model's weights (or its file or folder) are now, if they have moved.
        model: The model in memory that the head was fitted on.
        overwrite: Replace an earlier export.
        trust_model_code: See `featx.load_model`.
        allow_download: Download the model that the head names, if it is not here.
        progress: Whether to show progress; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives notes and progress, in place of these two.

    Raises:
        HeadError: If there is no such head, its model cannot be exported in this form, or what was
            written predicts something else.
        InvalidValue: If `output` has another ending.
        ExportError: If it exists, or cannot be written.

    Example:
        >>> export_head("no-such-head", output="flowers.keras")
        Traceback (most recent call last):
        ...
        featx.errors.HeadError: There is no head 'no-such-head'. `featx.fit_head` makes one.
    """
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    check_choice("quantisation", quantize, get_args(Quantize))
    if quantize != "int8" and is_given(calibrate):
        raise InvalidValue(
            f"Only {option('quantize', 'int8')} is calibrated. Received: {option('calibrate')} and "
            f"{option('quantize', quantize)}. Leave one of them out."
        )
    output = Path(output)
    name = choose_form(output, quantize)
    if not isinstance(head, Head):
        head = load_head(head)
    files = ExportFiles.of(output, name, head)
    files.check(overwrite)
    backbone = restore_model(
        head.model,
        weights=str(model if isinstance(model, str) else weights or "") or None,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
        model=model if isinstance(model, InMemory) else None,
    )
    pictures, source = find_pictures(head, check, MOST_PICTURES)
    if source == "drawn":
        listener.note(
            "no photographs of the head's store are where they were: compared with drawn pictures "
            f"({option('check')} names others)"
        )
    calibration = _calibrate(head, quantize, calibrate, pictures, listener)
    with folder_beside(output) as folder:
        written = folder / output.name
        memory = _write(head, backbone, quantize, calibration, (name, written))
        comparison = _compare(head, backbone, (name, written), (pictures, memory), listener)
        comparison = replace(comparison, source=source)
        _judge(FORMS[name], quantize, comparison, listener)
        card = write_card(head, name, files.title, quantize, comparison)
        files.place(written, card)
    size = sum(one.stat().st_size for one in [output, *output.rglob("*")] if one.is_file())
    labels = None if files.labels is None else str(files.labels)
    return HeadExportReport(
        str(output), name, quantize, size, labels, str(files.card), comparison, len(calibration)
    )


def _calibrate(
    head: Head,
    quantize: Quantize,
    images: Images,
    compared: list[CheckPicture],
    listener: Listener,
) -> list[np.ndarray]:
    """Return pictures to calibrate with, none unless that is needed; say where they are not apart.

    Raises:
        HeadError: If none of those that the user gave can be read.
    """
    if quantize != "int8":
        return []
    found, is_apart = find_calibration(head, images, compared)
    if not found:
        listener.note(
            "no photographs to calibrate with: only weights are quantised "
            f"({option('calibrate')} names some)"
        )
    elif not is_apart:
        listener.note(
            "calibrated with the pictures that it is compared on, as there are no others here: "
            f"the difference looks smaller than it is ({option('calibrate')} names others)"
        )
    return found


def _write(
    head: Head,
    backbone: Backbone,
    quantize: Quantize,
    calibration: list[np.ndarray],
    to: tuple[str, Path],
) -> Predict | None:
    """Write a form; return the same model in memory."""
    name, written = to

    def write() -> Predict | None:
        onnx = take_onnx(head, backbone)
        if onnx is not None:
            _check_onnx(head, name)
            write_around(onnx, find_layer(backbone, head.feature.name).shape, head, written)
            return None
        parts = take_parts(head, backbone)
        return FORMS[name].write(Job(parts, backbone, quantize, calibration), written)

    with printing_to_stderr():
        return build_apart(write)


def _check_onnx(head: Head, form: str) -> None:
    """Refuse every other form of a head on an ONNX model."""
    if form != "onnx":
        raise HeadError(
            f"{head.model.reference!r} is an ONNX model, which cannot be made "
            f"{FORMS[form].title}. Export the head with {option('output', 'OUT.onnx')}, or fit it "
            "on the same network as a Keras model, SavedModel or Hub module."
        )


def _compare(
    head: Head,
    backbone: Backbone,
    file: tuple[str, Path],
    given: tuple[list[CheckPicture], Predict | None],
    listener: Listener,
) -> ExportComparison:
    """Compare a file that was written with featx, and with the model in memory."""
    name, written = file
    pictures, memory = given
    is_whole = FORMS[name].takes_any_size
    taken = [one.whole if is_whole else one.small for one in pictures]
    after = predict_apart(name, written, taken)
    before = predict_with_featx(head, backbone, [one.fitted for one in pictures], listener)
    comparison = compare(head, pictures, before, after)
    if memory is not None:
        same = np.stack([memory(one[np.newaxis])[0] for one in taken])
        comparison = replace(comparison, reload_difference=float(np.abs(same - after).max()))
    if any(one.fast is not one.fitted for one in pictures):
        fast = predict_with_featx(head, backbone, [one.fast for one in pictures], listener)
        comparison = replace(comparison, fast_difference=float(np.abs(fast - after).max()))
    return comparison


def _judge(form: Form, quantize: str, comparison: ExportComparison, listener: Listener) -> None:
    """Refuse a file that predicts something else; warn of a quantised one.

    Raises:
        HeadError: Says by how much.
    """
    if quantize != "none":
        if comparison.changed:
            listener.note(
                f"quantised to {quantize}, the model answers otherwise for "
                f"{format_share(comparison.changed, comparison.pictures, 'picture')}"
            )
        return
    if not comparison.is_within(form.bound):
        most = form.bound * comparison.largest
        raise HeadError(
            f"{form.title[0].upper()}{form.title[1:]} was written, but predicts something else "
            f"than featx: by up to {comparison.difference:.2g}, where at most {most:.2g} is "
            f"expected (loaded again: {comparison.reload_difference or 0:.2g}). Nothing is kept."
        )
