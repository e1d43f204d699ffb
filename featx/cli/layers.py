"""`featx layers`: what ``--layer`` can name."""

from __future__ import annotations

from typing import Annotated

import typer

from featx.cli.options import Json


def layers(
    model: Annotated[
        str, typer.Argument(help="A model, as -m of `extract` takes it, e.g. keras:VGG19.")
    ],
    pattern: Annotated[
        str | None, typer.Argument(help="Only taps that match: a name, index, glob or path.")
    ] = None,
    img_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW", help="Show shapes at this input size. [default: the model's]"
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|random|PATH",
            help="Of a Keras application, as for `extract`. [default: random, nothing to download]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what features can be taken from in a model.

    Shapes are those of one image. A weights file without the classifier shows the network
    without it.

    Example: featx layers keras:MobileNetV2,alpha=0.35 'block_*_expand_relu'
    """
    from featx.models import load_model
    from featx.models.reference import parse_reference
    from featx.models.selection import select_taps
    from featx.report.json_lines import write_json
    from featx.report.tables import show_layers
    from featx.specs import InputOverrides, parse_img_size

    overrides = InputOverrides(img_size=parse_img_size(img_size) if img_size else None)
    named = parse_reference(model)[0] == "keras"
    backbone = load_model(
        model, weights=weights or ("random" if named else None), overrides=overrides
    )
    taps = backbone.features()
    if pattern is not None:
        taps = select_taps([pattern], taps, backbone.num_layers)
    height = backbone.spec.input.height
    if as_json:
        for tap in taps:
            write_json(
                {
                    "index": tap.index,
                    "name": tap.name,
                    "kind": tap.kind,
                    "type": tap.type,
                    "shape": list(tap.shape),
                    "stride": tap.stride(height),
                    "bytes": tap.num_bytes,
                }
            )
    else:
        show_layers(backbone.spec, taps, len(backbone.features()))
