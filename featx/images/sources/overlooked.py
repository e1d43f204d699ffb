"""What a person should know of a folder: archives that are not read, links that lead elsewhere."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping

from featx.errors import join_names
from featx.images.sources.archives import TAR_ENDINGS, ZIP_ENDINGS
from featx.units import format_count
from featx.wording import option


def is_archive(name: str) -> bool:
    """Whether a file is an archive that may hold images, by its ending.

    Example:
        >>> is_archive("a/b.tar.gz"), is_archive("a/b.txt")
        (True, False)
    """
    return name.lower().endswith(TAR_ENDINGS + ZIP_ENDINGS)


def describe_archives(names: Iterable[str], shown: str, *, has_images: bool) -> str:
    """Say which archives a folder holds, and how to name them.

    Args:
        names: Their paths in the folder, with ``/``.
        shown: The folder's path as it was given.
        has_images: Whether it also holds images.

    Example:
        >>> describe_archives(["0.tar", "1.tar"], "shards", has_images=False)
        "There are no images in the folder 'shards', only 2 archives: name them as 'shards/*.tar'."
        >>> describe_archives(["0.zip"], "photos", has_images=True)
        "In the folder 'photos', 1 archive is not read: to read it, name 'photos/*.zip' too."
    """
    names = sorted(names)
    endings = Counter(_ending(os.path.basename(name)) for name in names)
    below = "**/" if any("/" in name for name in names) else ""
    globs = [repr(f"{os.path.join(glob.escape(shown), below)}*{ending}") for ending in endings]
    advice = join_names(globs, conjunction="and")
    if has_images:
        archives = format_count(
            len(names), "archive is not read: to read it", "archives are not read: to read them"
        )
        return f"In the folder {shown!r}, {archives}, name {advice} too."
    archives = format_count(len(names), "archive: name it", "archives: name them")
    return f"There are no images in the folder {shown!r}, only {archives} as {advice}."


def is_below(folder: str, root: str) -> bool:
    """Whether a folder, with its links followed, is in another one."""
    real = os.path.join(os.path.realpath(root), "")
    return os.path.join(os.path.realpath(folder), "").startswith(real)


def describe_links(targets: Mapping[str, str]) -> str:
    """Say which links lead to folders outside of the one that was named.

    Args:
        targets: Key of a link → where it leads.

    Example:
        >>> describe_links({"linked": "/mnt/more"})
        "1 link leads to a folder elsewhere, which is read too: 'linked' to '/mnt/more' (exclude= \
leaves it out)"
    """
    key, target = next(iter(targets.items()))
    if len(targets) == 1:
        begin, them = "1 link leads to a folder elsewhere, which is read too:", "it"
    else:
        begin = f"{len(targets):,} links lead to folders elsewhere, which are read too, for example"
        them = "them"
    return f"{begin} {key!r} to {target!r} ({option('exclude')} leaves {them} out)"


def _ending(name: str) -> str:
    """Return the ending of an archive's name: both of ``.tar.gz``.

    Example:
        >>> _ending("a.b.tar.gz"), _ending("a.b.zip")
        ('.tar.gz', '.zip')
    """
    stem, ending = os.path.splitext(name)
    inner = os.path.splitext(stem)[1]
    return inner + ending if inner.lower() == ".tar" else ending
