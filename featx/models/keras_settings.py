"""Building networks with the defaults of Keras and TensorFlow, whatever the program has set.

What a file becomes depends on settings that no file states: the float type, the dtype policy, the
layout of images, whether TensorFlow is eager. A program may have set them for its own networks; a
model that was read under them would be another one, under the same name.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from featx.engines.tensorflow_thread import run_apart
from featx.errors import ModelError, join_names
from featx.forks import ProcessLock

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Setting:
    """A setting of the whole process: how to read and to write it, and its default."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    default: Any


@dataclass(slots=True)
class _Held:
    """How many builds hold a setting at its default, and what it was before the first of them."""

    builds: int
    before: Any


_lock = ProcessLock()
_held: dict[str, _Held] = {}


def build_apart(build: Callable[[], Result]) -> Result:
    """Return what `build` makes in a thread of its own, with all settings at their defaults.

    What belongs to the caller's thread does not reach another one. What belongs to the process is
    set to its default for that time; several threads may build at once, and the last one puts it
    back.

    Raises:
        ModelError: If TensorFlow behaves as its version 1, or if another thread changed a setting
            meanwhile.
    """

    def run() -> Result:
        with default_settings():
            return build()

    return run_apart(run)


@contextlib.contextmanager
def default_settings() -> Iterator[None]:
    """Hold the settings of Keras 3, and of Keras 2 where it is imported, at their defaults.

    Raises:
        ModelError: If another thread changed one meanwhile: what was built is then not known.
    """
    settings = _list_settings()
    with _lock:
        for setting in settings:
            _hold(setting)
    changed: list[str] = []
    try:
        yield
    finally:
        with _lock:
            changed = [each.name for each in settings if each.read() != each.default]
            for setting in settings:
                _release(setting)
    if changed:
        raise ModelError(
            f"{join_names(changed, conjunction='and')} was changed by another thread while featx "
            "was loading a model. Load it again, and do not set it at the same time."
        )


def _hold(setting: _Setting) -> None:
    if setting.name in _held:
        _held[setting.name].builds += 1
        return
    _held[setting.name] = _Held(1, setting.read())
    setting.write(setting.default)


def _release(setting: _Setting) -> None:
    held = _held[setting.name]
    held.builds -= 1
    if held.builds:
        return
    del _held[setting.name]
    if setting.read() == setting.default:  # Else another thread has set it since: its wish counts.
        setting.write(held.before)


def _list_settings() -> list[_Setting]:
    import keras

    settings = _settings_of("keras.config", keras.config)
    if sys.modules.get("tf_keras") is not None:
        legacy = importlib.import_module("tf_keras")  # Whole: another thread may be importing it.
        # The policy first: without one of its own, it is read from the float type.
        settings = [
            _policy_of(legacy),
            *_settings_of("tf_keras.backend", legacy.backend),
            *settings,
        ]
    return settings


def _settings_of(name: str, module: Any) -> list[_Setting]:
    """Return the settings that Keras 2 and 3 have in common.

    The defaults are those of Keras without a file ``keras.json``.
    """
    defaults = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}
    return [
        _Setting(
            f"{name}.set_{setting}",
            getattr(module, setting),
            getattr(module, f"set_{setting}"),
            default,
        )
        for setting, default in defaults.items()
    ]


def _policy_of(legacy: Any) -> _Setting:
    """Return the dtype policy of Keras 2, which is one for all threads; None follows floatx."""

    def read() -> str | None:
        policy: str = legacy.mixed_precision.global_policy().name
        return None if policy == legacy.backend.floatx() else policy

    return _Setting(
        "tf_keras.mixed_precision.set_global_policy",
        read,
        legacy.mixed_precision.set_global_policy,
        None,
    )
