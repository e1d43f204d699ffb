"""What a cluster costs: `featx extract` and `featx extract --cluster local` on the same cores.

    python -m benchmarks.ray_overhead PHOTOS [--concurrency 1 2] [--rounds 1]

Prints, for each, seconds from start to end, those of the driver's processor time, and the ratio to
plain `extract` of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from featx.machine import available_cores

MODEL = ("-m", "builtin:mini", "--precision", "float32", "--engine", "openvino", "--json")


def measure(photos: Path, output: Path, *options: str) -> dict[str, float]:
    """Extract once; return the seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "featx", "extract", str(photos), *MODEL, "-o", str(output)]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_of_the_driver": cpu, "rate": report["images_per_second"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        for number in range(options.rounds):
            plain = measure(options.photos, Path(name, f"{number}.h5"))
            print(json.dumps({"what": "extract", **plain}), flush=True)
            for count in options.concurrency:
                cpus = available_cores() / count
                extra = ("--cluster", "local", "--concurrency", str(count))
                output = Path(name, f"{number}-{count}.h5")
                spent = measure(options.photos, output, *extra, "--num-cpus", f"{cpus:g}")
                ratio = round(spent["seconds"] / plain["seconds"], 3)
                found = {"what": f"{count} workers", **spent, "ratio": ratio}
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
