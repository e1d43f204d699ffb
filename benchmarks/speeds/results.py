"""From measurements to ratios and goals. Ratios are formed in each round, then their median."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.speeds.rounds import COMPETITORS, Cell


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, their lowest and their highest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that featx is to reach.

    Attributes:
        title: What is compared.
        network: With which network.
        wanted: The figure.
        figure: Computes it of each round.
        pictures: On which kinds of pictures.
    """

    title: str
    network: str
    wanted: float
    figure: Callable[[Cell], list[float]]
    pictures: tuple[str, ...] = ("clothing", "224px")


def rates(cell: Cell, competitor: str) -> list[float]:
    """Return images per second of each round."""
    return [measured.rate for measured in cell.rounds.get(competitor, [])]


def over(competitor: str) -> Callable[[Cell], list[float]]:
    """Return what computes how many times as fast as a competitor featx is."""

    def ratios(cell: Cell) -> list[float]:
        return divide(rates(cell, "featx"), rates(cell, competitor))

    return ratios


def shared_cores(cell: Cell) -> list[float]:
    """Return the rates when network and decoding share the cores: their times add up.

    It is below both alone, and so the least of the three bounds.
    """
    pairs = zip(rates(cell, "engine"), rates(cell, "decoding"), strict=False)
    return [1 / (1 / engine + 1 / decoding) for engine, decoding in pairs]


def bound_share(cell: Cell) -> list[float]:
    """Return featx's share of what the shared cores allow."""
    return divide(rates(cell, "featx"), shared_cores(cell))


def product_rates(cell: Cell) -> list[float]:
    """Return FLOP/s of the matrix product, in the precision that featx chose."""
    runs, products = cell.rounds.get("featx", []), cell.rounds.get("matmul", [])
    return [
        product.facts["rates"][run.facts["precision"].replace("mixed", "bfloat16")]
        for run, product in zip(runs, products, strict=False)
    ]


def network_flops(cell: Cell, competitor: str) -> list[float]:
    """Return FLOP/s that a network's multiplications come to at a competitor's rates."""
    engines = cell.rounds.get("engine", [])
    flops = engines[0].facts["flops"] if engines else 0
    return [rate * flops for rate in rates(cell, competitor)] if flops else []


def product_share(cell: Cell) -> list[float]:
    """Return featx's share of the matrix product's FLOP/s."""
    return divide(network_flops(cell, "featx"), product_rates(cell))


def divide(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Divide round by round; after an interruption, the last round may lack some."""
    return [value / other for value, other in zip(values, others, strict=False)]


GOALS = (
    Goal("over model.predict per image", "VGG19", 4.0, over("snippet")),
    Goal("over Keras predict, tf.data", "VGG19", 2.5, over("keras")),
    Goal("over Keras predict, tf.data", "ResNet50", 2.5, over("keras")),
    Goal("over Keras predict, tf.data", "MobileNetV2", 4.0, over("keras")),
    Goal("over PyTorch, DataLoader", "VGG19", 3.0, over("torch")),
    Goal("over PyTorch, DataLoader", "ResNet50", 5.0, over("torch")),
    Goal("over PyTorch, DataLoader", "MobileNetV2", 6.0, over("torch")),
    Goal("share of engine and decoding", "VGG19", 0.93, bound_share),
    Goal("share of engine and decoding", "ResNet50", 0.93, bound_share),
    Goal("share of engine and decoding", "MobileNetV2", 0.85, bound_share),
    Goal("share of engine and decoding", "mini", 0.85, bound_share),
    Goal("share of the matrix product", "VGG19", 0.75, product_share),
    Goal("images/s", "mini", 1000, lambda cell: rates(cell, "featx"), ("224px",)),
)


def goals_of(cell: Cell) -> list[tuple[Goal, Spread]]:
    """Return the goals that a cell says something about, with their figures."""
    found = []
    for goal in GOALS:
        if goal.network == cell.network.name and cell.pictures in goal.pictures:
            values = goal.figure(cell)
            if values:
                found.append((goal, Spread.of(values)))
    return found


def missing_goals(cells: Sequence[Cell]) -> list[tuple[Goal, str]]:
    """Return goals whose network was run, but about which nothing can be said, and on what."""
    missing = []
    for cell in cells:
        reached = [goal for goal, _ in goals_of(cell)]
        missing += [
            (goal, cell.pictures)
            for goal in GOALS
            if goal.network == cell.network.name
            and cell.pictures in goal.pictures
            and goal not in reached
        ]
    return missing


def name_bound(cell: Cell) -> str:
    """Say which limit featx is near: what its time on the shared cores would go to at best."""
    shares = bound_share(cell)
    if not shares:
        return "not known"
    engine, decoding = (statistics.median(rates(cell, name)) for name in ("engine", "decoding"))
    part = (1 / engine) / (1 / engine + 1 / decoding)
    if part >= 0.8:
        name = "engine"
    elif part <= 0.2:
        name = "decoding"
    else:
        name = "both"
    return (
        f"{name} (engine {part:.0%}, decoding {1 - part:.0%} of the least time); "
        f"{statistics.median(shares):.2f} reached"
    )


def to_json(cells: Sequence[Cell]) -> dict[str, object]:
    """Return everything that was measured, and the goals."""
    return {
        "cells": [
            {
                "network": cell.network.name,
                "layer": cell.network.layer,
                "pictures": cell.pictures,
                "weights": "random" if cell.weights == "random" else "real",
                "rounds": {
                    name: [asdict(measured) | {"rate": measured.rate} for measured in measurements]
                    for name, measurements in cell.rounds.items()
                },
                "skipped": cell.skipped,
            }
            for cell in cells
        ],
        "goals": [
            {
                "title": goal.title,
                "network": goal.network,
                "pictures": cell.pictures,
                "wanted": goal.wanted,
                "figure": spread.median,
                "low": spread.low,
                "high": spread.high,
                "met": spread.median >= goal.wanted,
                "bound": name_bound(cell),
            }
            for cell in cells
            for goal, spread in goals_of(cell)
        ],
        "competitors": {name: competitor.title for name, competitor in COMPETITORS.items()},
    }
