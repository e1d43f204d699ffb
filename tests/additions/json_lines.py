"""A source of images in one file: pictures as base64 in the lines of a ``.b64`` file."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from featx.errors import ImageError
from featx.images.sources import ImageItem, ImageSource, Listing, SourceRequest
from featx.images.sources.keys import member_key


class JsonLines(ImageSource):
    is_container = True

    def matches(self, location: str) -> bool:
        return location.endswith(".b64") and os.path.isfile(location)

    def list_images(self, request: SourceRequest) -> Listing:
        listing, reader = Listing(), LineReader(request.location)
        mtime_ns = os.stat(request.location).st_mtime_ns
        for number, line in enumerate(Path(request.location).read_text().splitlines()):
            fields = json.loads(line)
            try:
                key = request.prefix + member_key(fields["name"])
            except ImageError as error:
                listing.fail(fields["name"], error.reason)
                continue
            reader.lines[key] = number
            listing.items.append(
                ImageItem(key, request.root, fields.get("label"), len(line), mtime_ns, reader)
            )
        return listing


class LineReader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: dict[str, int] = {}

    def read(self, item: ImageItem) -> bytes:
        line = Path(self.path).read_text().splitlines()[self.lines[item.key]]
        return base64.b64decode(json.loads(line)["data"])


SOURCE = JsonLines()
