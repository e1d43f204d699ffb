"""The cache of modules downloaded from TensorFlow Hub.

tensorflow-hub resolves URLs and downloads; featx says where to, and cleans up after interrupted
downloads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.errors import DownloadNotAllowed, ModelError, first_line
from featx.host import environment, printing_to_stderr, quiet_loggers
from featx.models.savedmodel_damage import is_complete
from featx.user_cache import user_cache_folder
from featx.wording import option

CACHE_VARIABLE = "TFHUB_CACHE_DIR"
"""The environment variable of tensorflow-hub that names another folder for modules."""


def cache_folder() -> Path:
    """Return the folder for downloaded modules: the user's cache, never a temporary folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return user_cache_folder() / "hub"


def module_folder(url: str) -> Path:
    """Return the folder in which tensorflow-hub looks for the module of a URL."""
    return cache_folder() / hashlib.sha1(url.encode()).hexdigest()


def fetch_module(url: str, *, allow_download: bool = True) -> Path:
    """Return the folder of a module; download it if it is missing or incomplete.

    Raises:
        ModelError: If it cannot be, or may not be downloaded; says what to do.
    """
    folder = module_folder(url)
    if not allow_download:
        if not is_complete(folder):
            raise DownloadNotAllowed(f"The module {url!r}", option("allow_download", True))
        return folder
    import_tensorflow()
    if folder.is_dir() and not is_complete(folder):
        with replaced_module(folder):
            return _download(url, folder)
    return _download(url, folder)


@contextlib.contextmanager
def replaced_module(folder: Path) -> Iterator[None]:
    """Move a cached module aside while it is downloaded again; put it back if that fails."""
    aside = folder.with_name(f"{folder.name}.{os.getpid()}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _download(url: str, folder: Path) -> Path:
    _remove_abandoned(folder)
    try:
        with _hub() as hub:
            resolved = Path(hub.resolve(url))
    except Exception as error:  # urllib, ssl, tarfile and TensorFlow each raise their own kinds.
        raise ModelError(
            f"The module {url!r} could not be downloaded: {first_line(error)}. Without a network, "
            f"download {_compressed(url)} elsewhere and unpack it into {str(folder)!r} (so that "
            "saved_model.pb is in it), or into any folder and name that: hub:FOLDER."
        ) from error
    if not is_complete(resolved):
        forget_module(resolved)
        raise ModelError(
            f"What {url!r} gave is not a SavedModel, or only a part of one. Is it the URL of "
            "a TensorFlow model (not of TF.js or TFLite), with its version at the end?"
        )
    return resolved


def forget_module(folder: Path) -> None:
    """Remove a module from the cache; folders elsewhere are left alone."""
    if folder.parent == cache_folder():
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove the lock and the files of a download whose process has ended.

    tensorflow-hub would wait for it for ten minutes.
    """
    lock = folder.with_name(f"{folder.name}.lock")
    with contextlib.suppress(OSError, ValueError):
        host, number, _ = lock.read_text(encoding="utf-8").rsplit(".", 2)
        if host == socket.gethostname() and not _is_running(int(number)):
            lock.unlink()
            for left in folder.parent.glob(f"{folder.name}.*.tmp"):
                shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    if sys.platform == "win32":
        return True  # There, os.kill would end it.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _compressed(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}tf-hub-format=compressed"


@contextlib.contextmanager
def _hub() -> Iterator[Any]:
    """Import tensorflow-hub, with the cache where featx wants it, for one download at a time."""
    with (
        environment({CACHE_VARIABLE: str(cache_folder())}),
        printing_to_stderr(),
        quiet_loggers("absl"),
    ):
        try:
            with warnings.catch_warnings():  # pkg_resources of setuptools 80 says that it will go.
                warnings.simplefilter("ignore")
                import tensorflow_hub
        except ImportError as error:
            raise ModelError(
                f"tensorflow-hub, which downloads modules, cannot be imported: "
                f"{first_line(error)}. Install it: pip install 'tensorflow-hub>=0.16.1' "
                "'setuptools<81' tf_keras."
            ) from error
        yield tensorflow_hub
