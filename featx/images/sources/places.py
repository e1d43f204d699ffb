"""Reading an image by where it lies, as text: in a folder, inside an archive, at a URL."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from featx.errors import FeatxError
from featx.images.sources.finding import find_images
from featx.images.sources.items import ImageItem, is_url


class PlaceReader:
    """Reads images by the places that items, matches and predictions name.

    An archive is listed once, when the first of its members is asked for.

    Example:
        >>> from featx.testing import write_images
        >>> reader = PlaceReader()
        >>> len(reader.read(str(write_images(1) / "image_0.png"))) > 0
        True
    """

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, ImageItem]] = {}
        self._lock = threading.Lock()

    def read(self, place: str | Path) -> bytes:
        """Return the image's bytes.

        Raises:
            FileNotFoundError: If there is no such image.
            OSError: If it cannot be read.
            FeatxError: If its source cannot be read.
        """
        text = str(place)
        if is_url(text):
            items = find_images(text).items
            if len(items) == 1:
                return items[0].read_bytes()
            raise FileNotFoundError("there is no such file")
        if os.path.isfile(text):
            return Path(text).read_bytes()
        if os.path.lexists(text):  # Opening a named pipe would wait for ever.
            raise FileNotFoundError("there is no such file")
        file, _, number = text.rpartition("#")
        if number.isdigit() and os.path.isfile(file):
            return self._member(file, f"{os.path.basename(file)}#{number}")
        container = next((p for p in Path(text).parents if p.is_file()), None)
        if container is None:
            raise FileNotFoundError("there is no such file")
        return self._member(str(container), Path(text).relative_to(container).as_posix())

    def _member(self, place: str, key: str) -> bytes:
        # Of a frame, a#3, all frames are listed.
        frame = "all" if key.rpartition("#")[2].isdigit() and "#" in key else None
        container = place if frame is None else f"{place}#"
        with self._lock:
            if container not in self._listed:
                try:
                    found = find_images(place, frame=frame)
                except FeatxError as error:
                    raise OSError(str(error)) from error
                self._listed[container] = {item.key: item for item in found.items}
        if key not in self._listed[container]:
            raise FileNotFoundError("there is no such file")
        return self._listed[container][key].read_bytes()
