"""Train `builtin:mini`, the small backbone: MobileNetV2 1.0 distilled on photographs.

Five steps, each a subcommand (`python train_mini.py STEP --help`):

    targets   cut several random crops of every photograph and store their pixels (128 px) beside
              what the teacher says about exactly these pixels at 224 px
    train     train the student on them (PyTorch; can be stopped and resumed)
    export    write the float16 weights of a checkpoint, and check that the Keras network computes
              the same as the PyTorch one
    evaluate  measure on labelled photographs the training never saw, beside other extractors
    speed     images per second beside MobileNetV2 1.0

What was done for the weights that are shipped (seed 20261120):

data      the photographs of `unlabelled/` (10,321 varied ones), flowers12/train, imagenette and
          clothing without clothing/test; no labels; 16,949 after dropping identical files. Of each
          6 to 7 crops, 115,040 in all: whole, nearly whole, and 15 % to 100 % of the area, half
          flipped, 40 % with changed colours, 15 % mixed with another crop. The crops were made by
          an earlier text of `targets`: the same distribution, other draws, and it did not yet
          leave out the 23 pictures of flowers12/test that are in flowers12/train as well (other
          bytes, same picture). `evaluate` leaves these out of the measurement.
targets   MobileNetV2 1.0's last map, area-pooled to 4x4, PCA to 256 dimensions (79 % of the
          variance), whitened a little; its stride-16 map, pooled to 8x8, PCA to 64 dimensions.
loss      cosine of the embedding + 0.5 dense (the same at each of the 4x4 positions) + 0.3
          relational (every crop's neighbours in the batch) + hint (stride-16 map; fades out).
          CutMix along the 4x4 grid and mixup, with their targets, in 40 % of the batches.
training  Muon (lr 0.012; AdamW for the rest), batch 256, bfloat16; 96 px for the first 45 % of
          the time, then 128 px; constant rate for the first half, then linearly to 0; average of
          the weights with decay 0.998. OUT/stable.pt is the state before the rate falls.
time      two shared cores of an AMD EPYC (Zen 4, avx512_bf16): 17 minutes for the targets, then
          102 minutes for 6,462 steps (1.65 million crops, 14 epochs, 140 to 460 crops/s).
result    cosine to the teacher 0.75 on unseen flowers12/test. Precision@10 / linear head:
              flowers12/test (217)  .741 / .912   MobileNetV2 1.0  .701 / .963
              clothing/test (372)   .676 / .850                    .669 / .863
              CIFAR-10 (999; nothing of its kind trained on)
                                    .363 / .646                    .405 / .678
          Photographs of the same flowers and clothes (train folders, labels unused) were among
          the training material; CIFAR-10 shows how it does elsewhere. In OpenVINO 938 images/s in
          float32 and 1,819 in bfloat16, 4.4 and 4.2 times MobileNetV2 1.0; TensorFlow 855, 6.8.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import multiprocessing
import os
import queue
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featx.models import mini_network

SEED = 20261120
STUDENT_PX = mini_network.MINI_SIZE
TEACHER_PX = 224
DIM = (
    mini_network.EMBEDDING_WIDTH
)  # PCA dimensions of the teacher's last feature map (1280 channels)
HINT_DIM = 64  # PCA dimensions of the teacher's block_12_add (stride 16, 96 channels)
HINT_BLOCK = 3  # the student's block that predicts it
GRID, HINT_GRID = 4, 8  # the teacher's 7x7 and 14x14 maps are area-pooled to these sizes
TEACHER_BATCH = 32
COPY = 0.98  # likeness of thumbnails from which two photographs count as the same
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
#: folders of DATA/images used for training, beside `unlabelled/`
OTHER_FOLDERS = (
    "flowers12/train",
    "imagenette/train",
    "imagenette/val",
    "clothing/train_160",
    "clothing/validation",
)
#: what is measured: name -> (folder the linear head learns from, test folder)
TESTS = {
    "flowers12": ("flowers12/train", "flowers12/test"),
    "clothing": ("clothing/train_160", "clothing/test"),
}
Pair = tuple[Image.Image, Image.Image]


def load_weights(model: Any, path: Path) -> Any:
    """Load exported float16 weights into a Keras network; return it."""
    with np.load(path) as stored:
        mini_network.set_weights(model, stored)
    return model


# ------------------------------------------------------------------------------------- targets


def image_files(folder: Path) -> list[Path]:
    """Return the photographs below a folder, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)


def thumbnails(files: list[Path]) -> np.ndarray:
    """Return tiny grey versions of photographs as unit vectors: a product near 1 is a copy."""
    small = [
        Image.open(path).convert("L").resize((12, 12), Image.Resampling.BILINEAR) for path in files
    ]
    flat = np.stack([np.asarray(image, np.float32).ravel() for image in small])
    flat -= flat.mean(1, keepdims=True)
    return flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6)


def copies(files: list[Path], others: list[Path]) -> np.ndarray:
    """Return for each of `files` whether the same picture is among `others`."""
    return (thumbnails(files) @ thumbnails(others).T).max(1) > COPY


def training_images(data: Path) -> list[tuple[Path, bool]]:
    """Return every training photograph once, with True for those of `unlabelled/`.

    Left out is what also is in a test folder (23 pictures of flowers12).
    """
    found = [(path, True) for path in image_files(data / "images/unlabelled")]
    for folder in OTHER_FOLDERS:
        found += [(path, False) for path in image_files(data / "images" / folder)]
    seen: set[str] = set()
    unique = []
    for path, varied in found:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            unique.append((path, varied))
    tests = [path for _, test in TESTS.values() for path in image_files(data / "images" / test)]
    tested = copies([path for path, _ in unique], tests) if tests else [False] * len(unique)
    return [item for item, drop in zip(unique, tested, strict=True) if not drop]


def area_pool(maps: np.ndarray, size: int) -> np.ndarray:
    """Pool (n, s, s, c) to (n, size, size, c) by area, so that the mean over positions stays."""
    source = maps.shape[1]
    step = source / size
    pool = np.zeros((size, source), np.float32)
    for i in range(size):
        for j in range(source):
            pool[i, j] = max(0.0, min((i + 1) * step, j + 1) - max(i * step, j)) / step
    return np.einsum("ai,bj,nijc->nabc", pool, pool, maps, optimize=True)


def colour_matrix(rng: random.Random) -> tuple[float, ...]:
    """Return a 3x4 matrix of random brightness, contrast, saturation and a little hue."""
    saturation = 0.0 if rng.random() < 0.12 else rng.uniform(0.5, 1.5)
    luma = np.array([0.299, 0.587, 0.114])[None, :].repeat(3, 0)
    matrix = saturation * np.eye(3) + (1 - saturation) * luma
    angle = rng.gauss(0, 0.25)  # rotation around the grey axis
    cosine, sine = math.cos(angle), math.sin(angle)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    matrix = matrix @ (cosine * np.eye(3) + (1 - cosine) * np.ones((3, 3)) / 3 + sine * cross)
    contrast, brightness = rng.uniform(0.6, 1.4), rng.uniform(0.75, 1.3)
    shift = np.full((3, 1), 128 * (1 - contrast) * brightness)
    return tuple(np.concatenate([matrix * contrast * brightness, shift], 1).ravel().tolist())


def random_box(size: tuple[int, int], rng: random.Random) -> tuple[float, ...]:
    """Return a random crop of 15 % to 100 % of the area."""
    width, height = size
    for _ in range(10):
        area = rng.uniform(0.15, 1.0) * width * height
        ratio = math.exp(rng.uniform(-0.3, 0.3))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return x, y, x + w, y + h
    return 0, 0, width, height


def cut(image: Image.Image, number: int, rng: random.Random) -> Pair:
    """Return crop `number` of a photograph at the student's and at the teacher's size.

    Of six crops one is the whole photograph, one nearly whole, four are anything; half are
    flipped, and many have their colours changed (the teacher sees the changed colours too).
    """
    width, height = image.size
    whole = number in (0, 6)
    if whole:
        box: tuple[float, ...] = (0, 0, width, height)
    elif number % 3 == 0:
        box = (
            rng.uniform(0, 0.12) * width,
            rng.uniform(0, 0.12) * height,
            rng.uniform(0.88, 1) * width,
            rng.uniform(0.88, 1) * height,
        )
    else:
        box = random_box(image.size, rng)
    pair = [
        image.resize((px, px), Image.Resampling.BILINEAR, box=box)
        for px in (STUDENT_PX, TEACHER_PX)
    ]
    if rng.random() < 0.5:
        pair = [crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in pair]
    if rng.random() < (0.15 if whole else 0.45):
        matrix = colour_matrix(rng)
        pair = [crop.convert("RGB", matrix) for crop in pair]
    return pair[0], pair[1]


def mix(first: Pair, second: Pair, rng: random.Random) -> Pair:
    """Blend two crops or paste a part of one into the other; the teacher sees the mixture."""
    if rng.random() < 0.4:
        share = rng.uniform(0.25, 0.75)
        blended = [Image.blend(a, b, share) for a, b in zip(first, second, strict=True)]
        return blended[0], blended[1]
    w, h = rng.uniform(0.35, 0.8), rng.uniform(0.35, 0.8)
    x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
    out = []
    for a, b in zip(first, second, strict=True):
        box = tuple(round(v * a.size[0]) for v in (x, y, x + w, y + h))
        pasted = a.copy()
        pasted.paste(b.crop(box), box)
        out.append(pasted)
    return out[0], out[1]


def convert_teacher(weights: str, path: str) -> None:
    """Write the teacher as an OpenVINO model with two outputs: last map and stride-16 map."""
    import openvino as ov
    import tensorflow as tf

    shape = (TEACHER_PX, TEACHER_PX, 3)
    full = tf.keras.applications.MobileNetV2(weights=weights, include_top=False, input_shape=shape)
    teacher = tf.keras.Model(full.input, [full.output, full.get_layer("block_12_add").output])
    with tempfile.TemporaryDirectory() as folder:
        teacher.export(folder, format="tf_saved_model", verbose=False)
        model = ov.convert_model(folder)
    model.reshape([TEACHER_BATCH, *shape])
    ov.save_model(model, path, compress_to_fp16=False)


class Teacher:
    """MobileNetV2 1.0 in OpenVINO (bfloat16), three batches in flight."""

    def __init__(self, weights: Path, path: Path, threads: int) -> None:
        """Load the model at `path`, made from `weights` if it is not there yet."""
        if not path.exists():
            # in a process of its own: TensorFlow's threads do not go well with OpenVINO's here
            process = multiprocessing.get_context("spawn").Process(
                target=convert_teacher, args=(str(weights), str(path))
            )
            process.start()
            process.join()
        import openvino as ov

        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = ov.Core().compile_model(str(path), "CPU", options)
        self.slots: list[list[Any]] = [[compiled.create_infer_request(), None] for _ in range(3)]
        self.turn = 0

    def put(self, crops: list[np.ndarray], tag: Any) -> tuple[Any, np.ndarray, np.ndarray] | None:
        """Start one batch; return (tag, last maps, stride-16 maps) of an earlier one or None."""
        slot = self.slots[self.turn % len(self.slots)]
        self.turn += 1
        earlier = self._finish(slot)
        batch = np.stack(crops + [crops[-1]] * (TEACHER_BATCH - len(crops))).astype(np.float32)
        slot[0].start_async([batch / 127.5 - 1])
        slot[1] = (tag, len(crops))
        return earlier

    def rest(self) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """Return the batches still under way, oldest first."""
        order = [(self.turn + i) % len(self.slots) for i in range(len(self.slots))]
        found = [self._finish(self.slots[i]) for i in order]
        return [item for item in found if item is not None]

    @staticmethod
    def _finish(slot: list[Any]) -> tuple[Any, np.ndarray, np.ndarray] | None:
        if slot[1] is None:
            return None
        slot[0].wait()
        tag, count = slot[1]
        slot[1] = None
        maps = [np.array(slot[0].get_output_tensor(i).data)[:count] for i in range(2)]
        maps.sort(key=lambda m: m.shape[1])
        return tag, maps[0], maps[1]


def fit_pca(rows: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, components (as columns) and variances of a principal component analysis."""
    mean = rows.mean(0)
    values, vectors = np.linalg.eigh(np.cov((rows - mean).T.astype(np.float64)))
    values, vectors = values[::-1], vectors[:, ::-1]
    print(f"PCA: {dims} of {rows.shape[1]} keep {values[:dims].sum() / values.sum():.3f}")
    return tuple(a.astype(np.float32) for a in (mean, vectors[:, :dims], values[:dims]))


def make_targets(args: argparse.Namespace) -> None:
    """Store crops and the teacher's maps; rows [0, rows_done) of the files are always usable."""
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    images = training_images(args.data)
    rng = random.Random(SEED)
    order = list(range(len(images)))
    rng.shuffle(order)
    counts = [args.varied_crops if images[i][1] else args.other_crops for i in order]
    total = sum(counts)
    print(f"{len(images)} photographs, {total} crops", flush=True)
    teacher = Teacher(args.weights, out / "teacher.xml", args.threads)

    def load(index: int) -> Image.Image:
        return Image.open(images[index][0]).convert("RGB")

    sample: list[tuple[Any, np.ndarray, np.ndarray]] = []
    for start in range(0, 4096, TEACHER_BATCH):
        crops = [
            np.asarray(cut(load(order[(start + j) % len(order)]), (start + j) % 3, rng)[1])
            for j in range(TEACHER_BATCH)
        ]
        done = teacher.put(crops, None)
        if done:
            sample.append((None, done[1].mean((1, 2)), done[2][:, ::4, ::4]))
    teacher.rest()
    gm, gw, gv = fit_pca(np.concatenate([s[1] for s in sample]), DIM)
    hints = np.concatenate([s[2] for s in sample])
    hm, hw, hv = fit_pca(hints.reshape(-1, hints.shape[-1]), HINT_DIM)
    np.savez(out / "pca.npz", gm=gm, gw=gw, gv=gv, hm=hm, hw=hw, hv=hv)

    def create(name: str, shape: tuple[int, ...], kind: type) -> np.ndarray:
        return np.lib.format.open_memmap(out / name, "w+", kind, (total, *shape))

    pixels = create("pixels.npy", (STUDENT_PX, STUDENT_PX, 3), np.uint8)
    grid = create("grid.npy", (GRID, GRID, DIM), np.float16)
    hint = create("hint.npy", (HINT_GRID, HINT_GRID, HINT_DIM), np.float16)

    def keep(item: tuple[Any, np.ndarray, np.ndarray] | None) -> None:
        if item is not None:
            rows, last, middle = item
            grid[rows] = (area_pool(last, GRID) - gm) @ gw
            hint[rows] = (area_pool(middle, HINT_GRID) - hm) @ hw

    def report(done: int) -> None:
        seconds = time.time() - begin
        state = {"rows_done": done, "total": total, "seconds": round(seconds)}
        (out / "progress.json").write_text(json.dumps(state))
        print(f"{done} of {total}, {done / seconds:.0f}/s", flush=True)

    begin = time.time()
    buffer: list[np.ndarray] = []
    first = row = 0
    previous: Pair | None = None
    for group in range(0, max(counts), 3):  # three crops of every photograph, then three more
        for index, count in zip(order, counts, strict=True):
            if group >= count:
                continue
            image = load(index)
            for number in range(group, min(group + 3, count)):
                pair = plain = cut(image, number, rng)
                if previous is not None and number % 3 == 2 and rng.random() < 0.45:
                    pair = mix(plain, previous, rng)
                previous = plain if number % 3 != 1 else previous
                pixels[row] = np.asarray(pair[0])
                buffer.append(np.asarray(pair[1]))
                row += 1
                if len(buffer) == TEACHER_BATCH or row == total:
                    keep(teacher.put(buffer, slice(first, row)))
                    buffer, first = [], row
                    if row % (TEACHER_BATCH * 100) == 0:
                        report(row - 4 * TEACHER_BATCH)
    for item in teacher.rest():
        keep(item)
    report(total)


# --------------------------------------------------------------------------------------- train

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:  # `targets` does without
    torch = None

if torch is not None:

    class Convolution(nn.Module):
        """Convolution, batch norm, identity branch where the widths allow it, ReLU."""

        def __init__(self, cin: int, cout: int, size: int, stride: int, pad: int) -> None:
            """Start from He's initialisation."""
            super().__init__()
            self.conv = nn.Conv2d(cin, cout, size, stride, pad, bias=False)
            self.bn = nn.BatchNorm2d(cout)
            self.skip = cin == cout and stride == 1 and size == 3
            nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="relu")
            if self.skip:
                nn.init.constant_(self.bn.weight, 0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return the activations."""
            y = self.bn(self.conv(x))
            return F.relu(y + x if self.skip else y, inplace=True)

        def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
            """Return kernel and bias of the one convolution that computes the same."""
            gain = self.bn.weight.double() / (self.bn.running_var.double() + self.bn.eps).sqrt()
            bias = self.bn.bias.double() - self.bn.running_mean.double() * gain
            kernel = self.conv.weight.double() * gain[:, None, None, None]
            if self.skip:
                channel = torch.arange(len(kernel))
                kernel[channel, channel, 1, 1] += 1
            return kernel, bias

    class Student(nn.Module):
        """The network of `featx.models.mini_network` as it is trained."""

        def __init__(self) -> None:
            """Start from random weights."""
            super().__init__()
            self.blocks = nn.ModuleList()
            cin = 3
            for number, (width, count) in enumerate(mini_network.BLOCKS):
                layers = []
                for i in range(count):
                    stem = number == 0 and i == 0
                    layers.append(Convolution(cin, width, *((6, 4, 1) if stem else (3, 1, 1))))
                    cin = width
                self.blocks.append(nn.Sequential(*layers))
            self.blocks[-1].append(Convolution(cin, mini_network.LAST_CHANNELS, 1, 1, 0))
            self.embedding = nn.Linear(mini_network.LAST_CHANNELS, DIM)
            # training only: predicts the teacher's stride-16 map
            self.hint = nn.Conv2d(mini_network.BLOCKS[HINT_BLOCK - 1][0], HINT_DIM, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return the last map (n, c, k, k) and the prediction of the stride-16 map."""
            hint = x
            for number, block in enumerate(self.blocks, start=1):
                if number > 1:
                    x = F.max_pool2d(x, 2)
                x = block(x)
                if number == HINT_BLOCK:
                    hint = self.hint(x)
            return x, hint

        def local(self, maps: torch.Tensor) -> torch.Tensor:
            """Return the embedding of each position (n, k, k, DIM); their mean is the embedding."""
            return self.embedding(maps.float().permute(0, 2, 3, 1))

        @torch.no_grad()
        def inference_weights(self) -> dict[str, np.ndarray]:
            """Return the arrays of the Keras network, named LAYER/kernel and LAYER/bias."""
            out = {}
            for number, block in enumerate(self.blocks, start=1):
                for i, layer in enumerate(block, start=1):
                    kernel, bias = layer.folded()
                    out[f"block{number}_conv{i}/kernel"] = kernel.permute(2, 3, 1, 0).numpy()
                    out[f"block{number}_conv{i}/bias"] = bias.numpy()
            out["embedding/kernel"] = self.embedding.weight.T.numpy()
            out["embedding/bias"] = self.embedding.bias.numpy()
            return {name: np.ascontiguousarray(a, np.float32) for name, a in out.items()}

    class Muon(torch.optim.Optimizer):
        """Momentum whose step is made orthogonal (Newton-Schulz), for kernels as matrices."""

        def __init__(
            self,
            params: list[nn.Parameter],
            lr: float,
            momentum: float = 0.95,
            weight_decay: float = 0.05,
        ) -> None:
            """Take parameters of two or more dimensions."""
            super().__init__(params, {"lr": lr, "momentum": momentum, "decay": weight_decay})

        @staticmethod
        def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
            """Return about the nearest matrix with orthonormal rows or columns."""
            tall = matrix.size(0) > matrix.size(1)
            x = matrix.T if tall else matrix
            x = (x / (x.norm() + 1e-7)).bfloat16()
            for _ in range(5):
                a = x @ x.T
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            return (x.T if tall else x).float()

        @torch.no_grad()
        def step(self, closure: None = None) -> None:
            """Update the parameters."""
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].mul_(group["momentum"]).add_(p.grad)
                    grad = p.grad.add(state["momentum"], alpha=group["momentum"])
                    update = self.orthogonal(grad.reshape(len(grad), -1)).reshape(grad.shape)
                    size = 0.2 * math.sqrt(max(len(p), p[0].numel()))
                    p.mul_(1 - group["lr"] * group["decay"])
                    p.add_(update, alpha=-group["lr"] * size)


class Batches(threading.Thread):
    """Random batches read from the memory maps on a thread of its own."""

    def __init__(self, folder: Path, size: int, seed: int) -> None:
        """Start reading batches of `size` crops from the folder that `targets` made."""
        super().__init__(daemon=True)
        self.folder, self.size = folder, size
        self.rng = np.random.default_rng(seed)
        self.files = [
            np.load(folder / name, mmap_mode="r") for name in ("pixels.npy", "grid.npy", "hint.npy")
        ]
        with np.load(folder / "pca.npz") as pca:
            # whiten a little (standard deviation to the power 3/4), and bring to about 1
            sd = np.sqrt(pca["gv"])
            self.grid_scale = torch.tensor(sd**-0.25 / sd.mean() ** 0.75)
            self.hint_scale = torch.tensor(pca["hv"] ** -0.25)
        self.ready: queue.Queue[tuple[torch.Tensor, ...]] = queue.Queue(2)
        self.start()

    def run(self) -> None:
        """Read epoch after epoch; two batches wait in `ready`."""
        while True:
            # read anew before every epoch: `targets` may still be adding crops
            rows = json.loads((self.folder / "progress.json").read_text())["rows_done"]
            order = self.rng.permutation(rows)
            for start in range(0, rows - self.size + 1, self.size):
                index = np.sort(order[start : start + self.size])
                pixels, grid, hint = (torch.from_numpy(f[index]) for f in self.files)
                self.ready.put(
                    (pixels, grid.float() * self.grid_scale, hint.float() * self.hint_scale)
                )


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    """Scale [0, 255] as the network's `scaling` layer does."""
    return pixels.float().mul_(1 / 64).sub_(2.0)


def augment(
    batch: tuple[torch.Tensor, ...], px: int, mixing: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flip half of the crops with their maps, mix crops with their maps, jitter, resize."""
    count = len(batch[0])
    flip = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
    pixels, grid, hint = (torch.where(flip, t.flip(2), t) for t in batch)
    draw = rng.random()
    if draw < mixing:
        other = torch.from_numpy(rng.permutation(count))
        if draw < 0.75 * mixing:  # CutMix along the teacher's 4x4 grid
            w, h = rng.integers(1, 4, 2)
            x, y = rng.integers(0, 5 - w), rng.integers(0, 5 - h)
            for t, cell in ((pixels, STUDENT_PX // GRID), (grid, 1), (hint, HINT_GRID // GRID)):
                rows, columns = slice(y * cell, (y + h) * cell), slice(x * cell, (x + w) * cell)
                t[:, rows, columns] = t[other][:, rows, columns]
        else:
            share = float(rng.uniform(0.6, 0.95))
            pixels = (pixels.float() * share + pixels[other].float() * (1 - share)).byte()
            grid = grid * share + grid[other] * (1 - share)
            hint = hint * share + hint[other] * (1 - share)
    x = pixels.permute(0, 3, 1, 2)  # channels last in memory
    if px != STUDENT_PX:
        x = F.interpolate(x, size=(px, px), mode="bilinear", antialias=True)
    x = scaled(x)
    gain = torch.from_numpy(rng.uniform(0.88, 1.12, (count, 1, 1, 1)).astype(np.float32))
    tint = torch.from_numpy(rng.normal(0, 0.06, (count, 3, 1, 1)).astype(np.float32))
    return x.mul_(gain).add_(tint).contiguous(memory_format=torch.channels_last), grid, hint


def resized(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Bring maps (n, k, k, c) to another size."""
    if maps.shape[1] == size:
        return maps
    maps = F.interpolate(
        maps.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", antialias=True
    )
    return maps.permute(0, 2, 3, 1)


def similarities(
    local: torch.Tensor, hint: torch.Tensor, grid: torch.Tensor, hint_target: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return what the loss is made of.

    cosine: of the embedding to the teacher's; dense: the same at every position of the last map;
    hint: of the stride-16 map; relational: KL divergence of every crop's neighbours in the batch
    (softmax of the cosines to all others) from the teacher's.
    """
    student = F.normalize(local.mean((1, 2)), dim=1)
    target = F.normalize(grid.mean((1, 2)), dim=1)
    grid = resized(grid, local.shape[1])
    hint = hint.float().permute(0, 2, 3, 1)
    hint_target = resized(hint_target, hint.shape[1])
    self_pairs = torch.eye(len(student), dtype=torch.bool)
    wanted = (target @ target.T / 0.1).masked_fill(self_pairs, -1e4).softmax(1)
    got = (student @ student.T / 0.1).masked_fill(self_pairs, -1e4).log_softmax(1)
    return {
        "cosine": (student * target).sum(1).mean(),
        "dense": F.cosine_similarity(local, grid, dim=3).mean(),
        "hint": F.cosine_similarity(hint, hint_target, dim=3).mean(),
        "relational": F.kl_div(got, wanted, reduction="batchmean"),
    }


def read_folder(folder: Path, px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all photographs of a folder of class folders, resized plainly, and their classes."""
    files = image_files(folder)
    images = [
        np.asarray(Image.open(p).convert("RGB").resize((px, px), Image.Resampling.BILINEAR))
        for p in files
    ]
    return np.stack(images), np.array([p.parent.name for p in files])


def cosine_matrix(features: np.ndarray) -> np.ndarray:
    """Return all cosines, with -2 for each image and itself."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norms, 1e-12)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2.0)
    return cosines


def precision_at_10(features: np.ndarray, classes: np.ndarray) -> float:
    """Return the share of the ten nearest others that have the query's class."""
    nearest = np.argsort(-cosine_matrix(features), axis=1)[:, :10]
    return float((classes[nearest] == classes[:, None]).mean())


def student_features(net: Student, images: np.ndarray) -> np.ndarray:
    """Return the embeddings that the PyTorch network computes (bfloat16)."""
    net.eval()
    out = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(images), 64):
            x = scaled(torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2))
            maps, _ = net(x.contiguous(memory_format=torch.channels_last))
            out.append(net.local(maps).float().mean((1, 2)).numpy())
    return np.concatenate(out)


def save_weights(net: Student, path: Path) -> None:
    """Write the float16 inference weights."""
    stored = {name: a.astype(np.float16) for name, a in net.inference_weights().items()}
    temporary = path.with_name(path.stem + "_tmp.npz")
    np.savez(temporary, **stored)
    os.replace(temporary, path)


def train(args: argparse.Namespace) -> None:
    """Train until the given time; the learning rate follows the clock."""
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    (out / "train.pid").write_text(str(os.getpid()))
    net = Student().to(memory_format=torch.channels_last)
    average = Student().to(memory_format=torch.channels_last)
    average.load_state_dict(net.state_dict())
    kernels = [
        p
        for name, p in net.named_parameters()
        if p.ndim == 4 and not name.startswith(("hint", "blocks.0.0"))
    ]
    chosen = {id(p) for p in kernels}
    others = [p for p in net.parameters() if id(p) not in chosen]
    optimizers = [
        Muon(kernels, lr=args.lr),
        torch.optim.AdamW(others, lr=args.lr / 5, weight_decay=0.02),
    ]
    peaks = [args.lr, args.lr / 5]
    step, before = 0, 0.0
    resumed = out / "checkpoint.pt"
    if args.resume and resumed.exists():
        state = torch.load(resumed, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, before = state["step"], state["seconds"]
    averaged = [
        (a, p)
        for a, p in zip(average.state_dict().values(), net.state_dict().values(), strict=True)
        if a.dtype.is_floating_point
    ]
    rng = np.random.default_rng(SEED + step)
    batches = Batches(args.targets, args.batch, SEED + step)
    monitors = [read_folder(args.data / "images" / test, STUDENT_PX) for _, test in TESTS.values()]
    begin = time.time() - before
    plan = out / "plan.json"  # {"minutes": N} there changes the length while training

    def save(name: str) -> None:
        temporary = out / (name + ".tmp")
        torch.save(
            {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "step": step,
                "optimizers": [o.state_dict() for o in optimizers],
                "seconds": time.time() - begin,
            },
            temporary,
        )
        os.replace(temporary, out / name)

    curve = out / "curve.csv"
    if not curve.exists():
        names = (
            "time",
            "seconds",
            "step",
            "progress",
            "px",
            "lr",
            "crops_per_s",
            "loss",
            "cosine",
            "dense",
            "hint",
            "relational",
            *(f"p10_{test}" for test in TESTS),
        )
        curve.write_text(",".join(names) + "\n")
    logged: list[list[float]] = []
    last_log = last_save = time.time()
    progress = 0.0
    while progress < 1.0:
        minutes = json.loads(plan.read_text())["minutes"] if plan.exists() else args.minutes
        progress = min(1.0, (time.time() - begin) / 60 / minutes)
        if progress >= args.stable and not (out / "stable.pt").exists():
            save("stable.pt")  # from here a longer training can start
        px = args.small_px if progress < args.small else STUDENT_PX
        lr = min(1.0, (step + 1) / 200)
        if progress > args.stable:
            lr *= (1 - progress) / (1 - args.stable)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * lr
        mixing = args.mixing if progress < 0.88 else 0.0
        x, grid, hint_target = augment(batches.ready.get(), px, mixing, rng)
        with torch.autocast("cpu", torch.bfloat16):
            maps, hint = net(x)
        parts = similarities(net.local(maps), hint, grid, hint_target)
        loss = (1 - parts["cosine"]) + 0.5 * (1 - parts["dense"]) + 0.3 * parts["relational"]
        loss = loss + 0.3 * (1 - progress) * (1 - parts["hint"])
        net.zero_grad(set_to_none=True)
        loss.backward()
        if not torch.isfinite(loss):
            print("skipped a step: loss not finite", flush=True)
            continue
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_([a for a, _ in averaged], [p for _, p in averaged], 1 - decay)
        logged.append([loss.item(), *(part.item() for part in parts.values())])
        now = time.time()
        if now - last_log >= args.log or progress >= 1.0:
            speed = len(logged) * args.batch / (now - last_log)
            p10 = [precision_at_10(student_features(average, x), y) for x, y in monitors]
            row = [
                time.strftime("%H:%M:%S"),
                f"{now - begin:.0f}",
                step,
                f"{progress:.4f}",
                px,
                f"{args.lr * lr:.5f}",
                f"{speed:.0f}",
                *(f"{v:.4f}" for v in [*np.mean(logged, 0), *p10]),
            ]
            with curve.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
            print(*row, flush=True)
            logged, last_log = [], time.time()
        if now - last_save >= 180 or progress >= 1.0:
            save("checkpoint.pt")
            save_weights(average, out / "mini.npz")
            last_save = time.time()


# -------------------------------------------------------------------------- export and evaluate


def export(args: argparse.Namespace) -> None:
    """Write mini.npz from a checkpoint and compare the two networks."""
    net = Student()
    net.load_state_dict(torch.load(args.checkpoint, weights_only=True)["average"])
    net.eval()
    keras_net = mini_network.build_mini()
    for layer in keras_net.layers:
        if layer.weights:
            arrays = net.inference_weights()
            layer.set_weights([arrays[f"{layer.name}/{part}"] for part in ("kernel", "bias")])
    images = np.random.default_rng(SEED).integers(0, 256, (16, STUDENT_PX, STUDENT_PX, 3))
    with torch.no_grad():
        x = scaled(torch.from_numpy(images).permute(0, 3, 1, 2))
        wanted = net.local(net(x)[0]).mean((1, 2)).numpy()
    got = keras_net(images.astype(np.float32)).numpy()
    difference = float(np.abs(got - wanted).max())
    print(f"largest difference Keras - PyTorch: {difference:.2e}, of {abs(wanted).max():.1f}")
    if difference > 1e-4:
        raise SystemExit("the Keras network does not compute what was trained")
    save_weights(net, args.weights)
    load_weights(keras_net, args.weights)
    rounded = keras_net(images.astype(np.float32)).numpy()
    print(f"largest difference through float16: {np.abs(rounded - wanted).max():.2e}")
    digest = hashlib.sha256(args.weights.read_bytes()).hexdigest()
    args.weights.with_name(args.weights.name + ".sha256").write_text(
        f"{digest}  {args.weights.name}\n"
    )
    size = args.weights.stat().st_size
    print(f"{args.weights}: {size} bytes, {keras_net.count_params()} parameters, sha256 {digest}")


def colour_histogram(images: np.ndarray) -> np.ndarray:
    """Return joint RGB histograms with 8 x 8 x 8 bins, square-rooted (Hellinger)."""
    bins = (images // 32).astype(np.int64)
    codes = bins[..., 0] * 64 + bins[..., 1] * 8 + bins[..., 2]
    counts = np.stack([np.bincount(code.ravel(), minlength=512) for code in codes])
    return np.sqrt(counts / counts.sum(1, keepdims=True))


def small_pixels(images: np.ndarray) -> np.ndarray:
    """Return the images themselves at 16 x 16 pixels, less their mean."""
    small = [np.asarray(Image.fromarray(i).resize((16, 16), Image.Resampling.BOX)) for i in images]
    flat = np.stack(small).reshape(len(small), -1).astype(np.float64)
    return flat - flat.mean(1, keepdims=True)


def retrieval(features: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Query every image against all others: nearest neighbour, precision@10, mAP."""
    order = np.argsort(-cosine_matrix(features), axis=1)[:, :-1]
    right = classes[order] == classes[:, None]
    ranks = np.arange(1, right.shape[1] + 1)
    average = ((right.cumsum(1) / ranks) * right).sum(1) / np.maximum(right.sum(1), 1)
    return {
        "nearest": float(right[:, 0].mean()),
        "precision@10": float(right[:, :10].mean()),
        "mAP": float(average.mean()),
    }


def linear_accuracy(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray
) -> float:
    """Return the accuracy of a linear head; its regularisation chosen within the training set."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    strengths = {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1]}
    search = GridSearchCV(head, strengths, cv=3).fit(train_x, train_y)
    return float(search.score(test_x, test_y))


def extractors(args: argparse.Namespace) -> dict[str, tuple[int, Any]]:
    """Return name -> (input size, function from uint8 images to features)."""
    import keras
    from keras import applications

    def run(net: Any, offset: float = 0.0, scale: float = 1.0) -> Any:
        def features(images: np.ndarray) -> np.ndarray:
            parts = [
                images[i : i + 32].astype(np.float32) * scale + offset
                for i in range(0, len(images), 32)
            ]
            return np.concatenate([net.predict_on_batch(part) for part in parts])

        return features

    weights, px = args.teachers, TEACHER_PX
    options = {"include_top": False, "pooling": "avg", "input_shape": (px, px, 3)}
    stem = "mobilenet_v2_"
    unit = {"offset": -1.0, "scale": 1 / 127.5}
    keras.utils.set_random_seed(SEED)
    return {
        "MobileNetV2 1.0": (
            px,
            run(
                applications.MobileNetV2(
                    weights=weights / f"{stem}1.0_224_dequantized_from_coral_tf2_ptq_no_top.h5",
                    **options,
                ),
                **unit,
            ),
        ),
        "MobileNetV2 0.35": (
            px,
            run(
                applications.MobileNetV2(
                    alpha=0.35,
                    **options,
                    weights=weights
                    / f"{stem}weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
                ),
                **unit,
            ),
        ),
        "MobileNet 0.25": (
            px,
            run(
                applications.MobileNet(
                    alpha=0.25, weights=weights / "mobilenet_2_5_224_tf_no_top.h5", **options
                ),
                **unit,
            ),
        ),
        "mini": (STUDENT_PX, run(load_weights(mini_network.build_mini(), args.weights))),
        "mini, random weights": (STUDENT_PX, run(mini_network.build_mini())),
        "colour histogram": (STUDENT_PX, colour_histogram),
        "16x16 pixels": (STUDENT_PX, small_pixels),
    }


def evaluate(args: argparse.Namespace) -> None:
    """Write results.json and results.md; test images that are in the training folder are left out.

    Retrieval queries every test image against all others of its folder, by cosine.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "results.json"
    results = json.loads(path.read_text()) if path.exists() and args.keep else {}
    tests = {
        name: tuple(args.data / "images" / folder for folder in folders)
        for name, folders in TESTS.items()
    }
    tests |= {name: (Path(train), Path(test)) for name, train, test in args.extra}
    for name, (px, features) in extractors(args).items():
        if name in results and name != "mini":
            continue
        results[name] = {}
        for test, (train_folder, test_folder) in tests.items():
            train_x, train_y = read_folder(train_folder, px)
            test_x, test_y = read_folder(test_folder, px)
            new = ~copies(image_files(test_folder), image_files(train_folder))
            test_x, test_y = test_x[new], test_y[new]
            train_x, test_x = features(train_x), features(test_x)
            row = retrieval(test_x, test_y)
            row["linear"] = linear_accuracy(train_x, train_y, test_x, test_y)
            results[name][test] = {"images": len(test_y)}
            results[name][test] |= {key: round(value, 4) for key, value in row.items()}
        print(name, results[name], flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
    best = results["MobileNetV2 1.0"]
    keys = ("nearest", "precision@10", "mAP", "linear")
    lines = []
    for test in tests:
        lines += [
            f"## {test}, {best[test]['images']} test images",
            "",
            f"| extractor | {' | '.join(keys)} |",
            "|---" * (1 + len(keys)) + "|",
        ]
        for name, row in results.items():
            cells = [f"{row[test][k]:.3f} ({row[test][k] / best[test][k]:.0%})" for k in keys]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    (args.out / "results.md").write_text("\n".join(lines))
    print("\n".join(lines))


def measure_speed(args: argparse.Namespace) -> None:
    """Measure images per second of the student and of MobileNetV2 1.0 (no weights needed)."""
    import keras
    import openvino as ov
    import tensorflow as tf

    nets = {
        "mini": (STUDENT_PX, mini_network.build_mini()),
        "MobileNetV2 1.0": (
            TEACHER_PX,
            keras.applications.MobileNetV2(
                weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
            ),
        ),
    }
    speeds: dict[str, dict[str, float]] = {name: {} for name in nets}
    compiled = {}
    batch = 32
    for name, (px, net) in nets.items():
        with tempfile.TemporaryDirectory() as folder:
            net.export(folder, format="tf_saved_model", verbose=False)
            model = ov.convert_model(folder)
        model.reshape([batch, px, px, 3])
        for precision in ("f32", "bf16"):
            compiled[name, precision] = ov.Core().compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": precision,
                    "NUM_STREAMS": args.threads,
                    "INFERENCE_NUM_THREADS": args.threads,
                },
            )
    rng = np.random.default_rng(SEED)
    for _ in range(3):  # the best of three turns: other work on the machine disturbs less
        for name, (px, net) in nets.items():
            images = rng.integers(0, 256, (batch, px, px, 3)).astype(np.float32)
            for precision in ("f32", "bf16"):
                requests = ov.AsyncInferQueue(compiled[name, precision], args.threads)
                begin, count = time.time(), 0
                while time.time() - begin < args.seconds:
                    requests.start_async([images])
                    count += batch
                requests.wait_all()
                rate, key = count / (time.time() - begin), f"OpenVINO {precision}"
                speeds[name][key] = max(speeds[name].get(key, 0.0), round(rate, 1))
            call = tf.function(net, reduce_retracing=True)
            tensor = tf.constant(images)
            call(tensor)
            begin, count = time.time(), 0
            while time.time() - begin < args.seconds:
                call(tensor)
                count += batch
            rate = count / (time.time() - begin)
            speeds[name]["TensorFlow"] = max(speeds[name].get("TensorFlow", 0.0), round(rate, 1))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "speed.json").write_text(json.dumps(speeds, indent=1) + "\n")
    for key, rate in speeds["mini"].items():
        other = speeds["MobileNetV2 1.0"][key]
        print(f"{key}: mini {rate:.0f}, MobileNetV2 1.0 {other:.0f} images/s: {rate / other:.2f}x")


def main() -> None:
    """Read the command line and run one step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("targets", help="cut crops and ask the teacher")
    step.add_argument("--data", type=Path, required=True, help="folder with images/")
    step.add_argument("--weights", type=Path, required=True, help="MobileNetV2 1.0, no top (.h5)")
    step.add_argument("--out", type=Path, required=True, help="folder for the targets")
    step.add_argument("--varied-crops", type=int, default=15, help="per image of unlabelled/")
    step.add_argument("--other-crops", type=int, default=9, help="per image of other folders")
    step.add_argument("--threads", type=int, default=2)
    step.set_defaults(run=make_targets)
    step = steps.add_parser("train", help="train the student")
    step.add_argument("--data", type=Path, required=True, help="folder with images/")
    step.add_argument("--targets", type=Path, required=True, help="folder made by `targets`")
    step.add_argument("--out", type=Path, required=True, help="folder for checkpoints and weights")
    step.add_argument("--minutes", type=float, default=100)
    step.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    step.add_argument("--lr", type=float, default=0.012)
    step.add_argument("--batch", type=int, default=256)
    step.add_argument("--small-px", type=int, default=96)
    step.add_argument("--small", type=float, default=0.45, help="share of the time at --small-px")
    step.add_argument("--stable", type=float, default=0.5, help="share before the rate falls")
    step.add_argument("--mixing", type=float, default=0.4, help="share of batches mixed")
    step.add_argument("--threads", type=int, default=2)
    step.add_argument("--log", type=float, default=180, help="seconds between log lines")
    step.set_defaults(run=train)
    step = steps.add_parser("export", help="write and check the float16 weights")
    step.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt of `train`")
    step.add_argument("--weights", type=Path, required=True, help="file to write, mini.npz")
    step.set_defaults(run=export)
    step = steps.add_parser("evaluate", help="measure beside other extractors")
    step.add_argument("--data", type=Path, required=True, help="folder with images/")
    step.add_argument("--teachers", type=Path, required=True, help="folder of MobileNet weights")
    step.add_argument("--weights", type=Path, required=True, help="mini.npz")
    step.add_argument("--out", type=Path, required=True, help="folder for results.json and .md")
    step.add_argument(
        "--extra",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "TRAIN", "TEST"),
        help="another pair of labelled folders",
    )
    step.add_argument("--keep", action="store_true", help="measure only what OUT lacks, and mini")
    step.set_defaults(run=evaluate)
    step = steps.add_parser("speed", help="images per second beside MobileNetV2 1.0")
    step.add_argument("--out", type=Path, required=True, help="folder for speed.json")
    step.add_argument("--seconds", type=float, default=4.0, help="of every measurement")
    step.add_argument("--threads", type=int, default=2)
    step.set_defaults(run=measure_speed)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
