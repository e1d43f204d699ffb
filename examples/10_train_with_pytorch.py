"""A classifier in PyTorch on stored features, which are read while it trains.

    python examples/10_train_with_pytorch.py PHOTOS --model keras:MobileNetV2

The network runs once over the pictures; each epoch reads the store in another order. Needs PyTorch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:MobileNetV2")
    parser.add_argument("--output", type=Path, default=Path("features.h5"))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=0, help="processes that read the store")
    arguments = parser.parse_args()
    report = featx.extract(arguments.images, model=arguments.model, output=arguments.output)
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    data = featx.open_dataset(arguments.output, target="label")
    batches = data.to("torch", batch_size=64, shuffle=True, seed=0)
    loader = batches.loader(num_workers=arguments.workers)
    torch.manual_seed(0)
    classifier = torch.nn.Sequential(
        torch.nn.LazyBatchNorm1d(), torch.nn.LazyLinear(len(data.classes))
    )
    classifier(next(iter(batches))[0])  # Finds out how wide the features are.
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.05)
    for _ in range(arguments.epochs):
        for vectors, classes in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(classifier(vectors), classes).backward()
            optimizer.step()

    classifier.eval()
    with torch.inference_mode():
        correct = [
            classifier(vectors).argmax(1) == classes
            for vectors, classes in data.to("torch", batch_size=64)
        ]
    accuracy = torch.cat(correct).float().mean().item()
    print(f"accuracy {accuracy:.3f} on {len(data)} pictures that it was trained on")


if __name__ == "__main__":
    main()
