"""Intermediate features of a network: what several of its layers see, in one pass.

    python examples/03_vgg19_intermediate_features.py PHOTOS --model keras:VGG19 \
        --layer block3_pool --layer block4_pool

The Keras documentation's code for this, one picture and one layer at a time:

    base_model = VGG19(weights='imagenet')
    model = Model(inputs=base_model.input, outputs=base_model.get_layer('block4_pool').output)
    img = image.load_img(img_path, target_size=(224, 224))
    x = preprocess_input(np.expand_dims(image.img_to_array(img), axis=0))
    block4_pool_features = model.predict(x)

`featx extract PHOTOS -m VGG19 --layer block4_pool --interpolation nearest` gives the same numbers
(load_img does not interpolate; without that option the pictures are resized smoothly).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:VGG19")
    parser.add_argument("--weights", help="imagenet, random or a file")
    parser.add_argument("--layer", action="append", default=[], help="repeat for several")
    parser.add_argument("--output", type=Path, default=Path("intermediate.h5"))
    arguments = parser.parse_args()

    # 1. What can be taken: every layer, with its shape and how far it sees.
    backbone = featx.load_model(arguments.model, weights=arguments.weights)
    for layer in backbone.features():
        print(
            f"{layer.name:<24} {layer.type:<20} {layer.shape} sees {layer.receptive_field or 'all'}"
        )
    layers = arguments.layer or [layer.name for layer in backbone.features()[-2:]]

    # 2. All of them in one pass over the images; nothing beyond the last is computed.
    report = featx.extract(
        arguments.images,
        model=arguments.model,
        weights=arguments.weights,
        layers=layers,
        output=arguments.output,
    )
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 3. Read them: one row for each image. Maps are stored as they are, (h, w, c), which is what
    #    the code above gives (docs/store.md says how to read them); a table has their averages.
    with featx.open_store(arguments.output) as store:
        for name in layers:
            table = store.table(name)
            print(f"{name}: {table.values.shape}, mean {np.mean(table.values):.4f}")

    # 4. Which layer tells the classes apart best?
    for name in layers:
        head = arguments.output.with_name(f"head-{name.replace('/', '-')}")
        fitted = featx.fit_head(arguments.output, layer=name, output=head)
        if fitted.evaluation is not None:
            evaluation = fitted.evaluation
            print(f"{name}: accuracy {evaluation.accuracy:.3f} on {evaluation.num_examples}")


if __name__ == "__main__":
    main()
