"""Endpoints of a TensorFlow Hub module: all blocks of a network by name, in one pass.

    python examples/04_hub_endpoints.py PHOTOS \
        --model https://tfhub.dev/google/imagenet/inception_v1/feature_vector/4

This replaces hub.KerasLayer(url, arguments=dict(return_endpoints=True)), which Keras 3 does not
accept. A network of your own (a .keras file) is first written as such a module, to show how one is
made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def write_module(network: Path, folder: Path) -> Path:
    """Write a Keras network as a module whose endpoints are its layers."""
    import keras
    import tensorflow as tf

    model = keras.models.load_model(network, compile=False)
    layers = {layer.name: layer.output for layer in model.layers}
    tapped = keras.Model(model.input, layers | {"default": model.output})

    class Module(tf.Module):
        def __init__(self) -> None:
            self.network = tapped

        @tf.function
        def __call__(self, images, training=False, return_endpoints=False):
            # Modules take RGB in [0, 1]; this network scales [0, 255] itself.
            endpoints = tapped(255.0 * images, training=False)
            return endpoints if return_endpoints else endpoints["default"]

    module = Module()
    images = tf.TensorSpec(model.input.shape, tf.float32)
    for return_endpoints in (False, True):
        module.__call__.get_concrete_function(
            images, training=False, return_endpoints=return_endpoints
        )
    tf.saved_model.save(module, str(folder))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument(
        "--model", default="https://tfhub.dev/google/imagenet/inception_v1/feature_vector/4"
    )
    parser.add_argument("--layer", action="append", default=[], help="endpoints, globs too")
    parser.add_argument("--output", type=Path, default=Path("endpoints.h5"))
    arguments = parser.parse_args()

    model = arguments.model
    if model.endswith(".keras"):
        model = f"hub:{write_module(Path(model), arguments.output.with_name('module'))}"

    # 1. What the module offers.
    backbone = featx.load_model(model)
    print("; ".join(backbone.notes))
    endpoints = [layer for layer in backbone.features() if layer.kind in ("endpoint", "output")]
    for layer in endpoints:
        print(f"{layer.name:<40} {layer.shape}")

    # 2. The endpoints asked for, averaged over their maps.
    report = featx.extract(
        arguments.images,
        model=model,
        layers=arguments.layer or ["default"],
        pool="avg",
        output=arguments.output,
    )
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 3. A classifier on them.
    fitted = featx.fit_head(arguments.output, output=arguments.output.with_name("hub-head"))
    if fitted.evaluation is not None:
        print(f"accuracy {fitted.evaluation.accuracy:.3f} on {fitted.evaluation.num_examples}")


if __name__ == "__main__":
    main()
