"""Make the lists of layers of Keras applications, which featx shows without building them.

python docs/make_layers.py [NAME ...]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile

from featx.models import load_model
from featx.models.application_layers import LISTS, describe_listed, write_lists
from featx.models.contracts import APPLICATIONS
from featx.user_cache import CACHE_VARIABLE


def main() -> None:
    """Build the networks, one after the other; what was made so far is kept."""
    lists = {}
    if LISTS.exists():
        with zipfile.ZipFile(LISTS) as archive:
            lists = {name[:-5]: json.loads(archive.read(name)) for name in archive.namelist()}
    for name in sys.argv[1:] or APPLICATIONS:
        with tempfile.TemporaryDirectory() as cache:
            os.environ[CACHE_VARIABLE] = cache  # Nothing is taken from earlier.
            lists[name] = describe_listed(load_model(f"keras:{name}", weights="random"))
        write_lists(LISTS, {name: lists[name] for name in APPLICATIONS if name in lists})
        print(f"{name}: {lists[name]['num_layers']} layers, {LISTS.stat().st_size:,} bytes in all")


if __name__ == "__main__":
    main()
