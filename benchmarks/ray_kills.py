"""Kill workers, raylets and drivers of extractions on Ray at random moments; compare the stores.

    python -m benchmarks.ray_kills --kills 100 --nodes 1 2 4

A cluster of several raylets runs on this machine. `featx extract --cluster auto` is begun again
after each kill of it, until it ends. Each store is compared with that of one machine: keys, content
hashes, labels and every bit of the features.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import featx
from featx.testing import write_images

KINDS = ("worker", "raylet", "driver")
MODEL = ("-m", "builtin:mini", "--precision", "float32", "--engine", "openvino")


class Nodes:
    """A cluster of Ray with several raylets, one CPU each, beside a head that has none."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
        )
        self.nodes = [self._add() for _ in range(count)]

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=80 << 20)

    @property
    def address(self) -> str:
        """Where drivers find it."""
        return str(self._cluster.address)

    def raylets(self) -> list[int]:
        """Return the numbers of the raylets' processes."""
        return [node.all_processes["raylet"][0].process.pid for node in self.nodes]

    def workers(self) -> list[int]:
        """Return the numbers of the processes in which actors are."""
        return [pid for raylet in self.raylets() for pid in find_actors(raylet)]

    def kill_raylet(self, number: int) -> None:
        """Kill a raylet, and put another in its place."""
        node = self.nodes[number]
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)
        self.nodes[number] = self._add()

    def close(self) -> None:
        """End the cluster."""
        self._cluster.shutdown()


def find_actors(raylet: int) -> list[int]:
    """Return the children of a raylet that are actors."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            title = (folder / "cmdline").read_bytes()
        except (OSError, IndexError, ValueError):
            continue
        if parent == raylet and title.startswith(b"ray::Actor"):
            found.append(int(folder.name))
    return found


def start(photos: Path, output: Path, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "featx", "extract", str(photos), *MODEL, "--json"]
    command += ["-o", str(output), "--cluster", "auto", "--wait"]
    environment = os.environ | {"RAY_ADDRESS": address}
    with open(f"{output}.log", "ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def read(path: Path) -> dict[str, Any]:
    with featx.open_store(path) as store:
        store.load_columns()
        return {
            "keys": list(store.keys),
            "content": store.content_hash.tobytes(),
            "labels": list(store.labels),
            "features": store.table().values.tobytes(),
            "failures": [(each.key, each.reason) for each in store.failures],
        }


def run_round(
    nodes: Nodes, photos: Path, output: Path, kills: int, draw: random.Random
) -> Counter[str]:
    """Extract once, with some kills at random moments; return how many of each kind hit."""
    done: Counter[str] = Counter()
    driver = start(photos, output, nodes.address)
    while kills and driver.poll() is None:
        time.sleep(draw.uniform(0.5, 8.0))
        kind = draw.choice(KINDS)
        workers = nodes.workers()
        if driver.poll() is not None:
            break
        if kind == "driver":
            driver.kill()
            driver.wait()
            driver = start(photos, output, nodes.address)
        elif kind == "raylet":
            nodes.kill_raylet(draw.randrange(len(nodes.nodes)))
        elif workers:
            os.kill(draw.choice(workers), signal.SIGKILL)
        else:
            continue
        done[kind] += 1
        kills -= 1
    status = driver.wait()
    if status != 0:
        print(Path(f"{output}.log").read_text()[-3000:], file=sys.stderr)
        raise SystemExit(f"featx ended with {status}")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        photos = write_images(options.images, folder / "photos", classes=("a", "b"), size=(64, 48))
        alone = folder / "alone.h5"
        subprocess.run(
            [sys.executable, "-m", "featx", "extract", str(photos), *MODEL, "-o", str(alone)],
            check=True,
        )
        expected = read(alone)
        total: Counter[str] = Counter()
        for count in options.nodes:
            nodes, part = Nodes(count), Counter[str]()
            number = 0
            while sum(part.values()) < options.kills // len(options.nodes):
                output = folder / f"{count}-{number}.h5"
                part += run_round(nodes, photos, output, draw.randint(1, 5), draw)
                wrong = [name for name, value in read(output).items() if value != expected[name]]
                if wrong or Path(f"{output}.parts").exists():
                    raise SystemExit(f"round {number} with {count} nodes: {wrong}")
                number += 1
                print(json.dumps({"nodes": count, "rounds": number, **part}), flush=True)
            nodes.close()
            total += part
        print(json.dumps({"kills": sum(total.values()), **total, "wrong": 0}))


if __name__ == "__main__":
    main()
