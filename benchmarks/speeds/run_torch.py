"""PyTorch as peers run it: timm or torchvision, DataLoader, float32, default layout."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import time
from typing import Any

from benchmarks.speeds.child import BATCH_SIZE, private_bytes, read_task, report, skip
from benchmarks.speeds.networks import Network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

VGG_LAYERS = {"block4_pool": 27}
"""Positions in `features` of the VGG19 of timm and of torchvision."""


def main() -> None:
    task = read_task()
    network = task.described
    if importlib.util.find_spec("torch") is None:
        skip("no torch")
    if importlib.util.find_spec("torchvision") is None:
        skip("no torchvision, which has the transforms that peers use")

    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    torch.manual_seed(0)
    library, model = build(network)
    model.eval()
    transform = transforms.Compose(
        [
            transforms.Resize((network.size, network.size)),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        ImageFolder(task.folder, transform),
        batch_size=BATCH_SIZE,
        num_workers=len(os.sched_getaffinity(0)),
    )
    features: list[Any] = []
    workers = 0
    with torch.inference_mode():
        model(torch.zeros(BATCH_SIZE, 3, network.size, network.size))
        began = time.perf_counter()
        for number, (images, _) in enumerate(loader):
            features.append(model(images))
            if number == len(loader) // 2:
                pids = [process.pid for process in multiprocessing.active_children()]
                workers = private_bytes([pid for pid in pids if pid is not None])
        seconds = time.perf_counter() - began
    done = sum(len(batch) for batch in features)
    report(done, seconds, other_bytes=workers, library=f"{library}, torch {torch.__version__}")


def build(network: Network) -> tuple[str, Any]:
    """Return the library that has a network, and the network without its classifier."""
    import torch

    if importlib.util.find_spec("timm") is not None:
        import timm

        library = f"timm {timm.__version__}"
        model = timm.create_model(network.timm, pretrained=False, num_classes=0)
    else:
        import torchvision

        library = f"torchvision {torchvision.__version__}"
        model = getattr(torchvision.models, str(network.torchvision))(weights=None)
        head = "fc" if hasattr(model, "fc") else "classifier"
        if network.layer is None:
            last = torch.nn.Flatten(1) if network.name == "ConvNeXtTiny" else torch.nn.Identity()
            setattr(model, head, last)
    if network.layer is not None:
        model = model.features[: VGG_LAYERS[network.layer] + 1]
    return library, model


if __name__ == "__main__":
    main()
