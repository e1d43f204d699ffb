"""featx's reading and decoding alone, on all cores: the other limit."""

from __future__ import annotations

import time

from benchmarks.speeds.child import read_task, report


def main() -> None:
    task = read_task()

    from featx.images.reading import DecodedImage, read_images
    from featx.images.sources import find_images
    from featx.input_spec import InputSpec

    size = task.described.size
    contract = InputSpec(height=size, width=size)
    items = find_images(task.folder).items
    done = 0
    began = time.perf_counter()
    # Again and again until the time is over: few small pictures take but a moment.
    while (seconds := time.perf_counter() - began) < task.seconds or not done:
        done += sum(isinstance(image, DecodedImage) for image in read_images(items, contract))
    report(done, seconds)


if __name__ == "__main__":
    main()
