"""`featx layers`: what ``--layer`` can name."""

from __future__ import annotations

from typing import Annotated

import typer

from featx.cli.options import Json, Signature, TrustModelCode


def layers(
    model: Annotated[
        str, typer.Argument(help="A model, e.g. keras:VGG19, or a file, folder or URL.")
    ],
    pattern: Annotated[
        str | None, typer.Argument(help="Only layers that match: a name, index, glob or path.")
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
            help="Of a Keras application. [default: random, nothing to download]",
        ),
    ] = None,
    signature: Signature = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Also the steps inside the layers of a graph.")
    ] = False,
    tree: Annotated[
        bool,
        typer.Option(
            "--tree", help="Indent what is inside others. [default: only where names are long]"
        ),
    ] = False,
    trust_model_code: TrustModelCode = False,
    as_json: Json = False,
) -> None:
    """List what features can be taken from in a model.

    Shapes are those of one image. The field is the receptive field: rows or columns of the input
    that one position of a map depends on, where it can be computed. Parameters are the layer's own,
    and those needed up to it. Of a graph, activations, pools, sums and outputs are listed, not each
    operation. A weights file without the classifier shows the network without it.

    Example: featx layers keras:MobileNetV2,alpha=0.35 'block_*_expand_relu'
    """
    from featx.models import listing
    from featx.options import InputOptions
    from featx.report.json_lines import write_json
    from featx.report.layers import show_layers
    from featx.units import parse_img_size

    table = listing.layers(
        model,
        pattern,
        weights=weights,
        signature=signature,
        all=show_all,
        trust_model_code=trust_model_code,
        input=InputOptions(img_size=parse_img_size(img_size) if img_size else None),
    )
    if as_json:
        for layer in table:
            write_json(listing.describe_layer(layer, table.described.spec.input))
    else:
        show_layers(table.described, table, tree=tree)
