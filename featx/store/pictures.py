"""The pictures that a store's features are of, read and decoded again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from featx.errors import ImageError
from featx.files import hash_content
from featx.images.decode import decode_image, upright_size
from featx.images.sources.locations import LocationReader

if TYPE_CHECKING:
    from PIL import Image

    from featx.store.stored_columns import StoreColumns


def read_pictures(
    store: StoreColumns, rows: np.ndarray, *, prepared: bool, allow_download: bool
) -> list[Image.Image]:
    """Return pictures of rows as Pillow images; see `FeatureStore.images`."""
    from PIL import Image

    reader, pictures = LocationReader(allow_download=allow_download), []
    for row in rows.tolist():
        key = store.keys[row]
        try:
            data = reader.read_key(store.root, key)
            if hash_content(data) != store.content_hash[row].tobytes():
                raise ImageError("it has changed since its features were computed")
            contract = store.model.input
            if not prepared:
                height, width = upright_size(data, contract)
                contract = replace(
                    contract, height=height, width=width, resize="stretch", decode="exact"
                )
            pixels = decode_image(data, contract)
        except (OSError, ImageError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ImageError(f"{store.root.shown(key)!r} cannot be read: {reason}") from error
        if pixels.shape[2] not in (1, 3, 4):
            raise ImageError(f"{key!r} has {pixels.shape[2]} channels, which is no picture")
        pictures.append(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    return pictures
