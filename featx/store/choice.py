"""What is said of the layer and the pooling that a command takes from a store."""

from __future__ import annotations

from featx.errors import FeatxError, InvalidValue
from featx.events import Listener
from featx.specs import DEFAULT_READ_POOLING
from featx.store.reader import FeatureStore
from featx.wording import command


def require_rows(store: FeatureStore, error: type[FeatxError] = InvalidValue) -> None:
    """Raise an error that says what to do if a store has no rows."""
    if not len(store):
        raise error(
            f"{str(store.path)!r} holds no features: none of its images could be used. "
            f"{command('info')} lists the reasons."
        )


def note_choice(
    store: FeatureStore, layer: str | int | None, pool: str, listener: Listener
) -> None:
    """Note what the user may not expect: which layer was taken, and a pooling without effect.

    Args:
        store: The open store.
        layer: The layer that was asked for; None where the deepest is taken.
        pool: The pooling that was asked for. A layer that was stored pooled keeps its own.
        listener: Receives the notes.
    """
    if layer is None and len(store.layers) > 1:
        listener.note(f"layer {store.layers[-1]!r}, the deepest in {str(store.path)!r}")
    stored = store.spec(layer)
    if stored.pool not in ("none", pool) and pool != DEFAULT_READ_POOLING:
        listener.note(f"{stored.name!r} was stored with {stored.pool!r} pooling, which is kept")
    elif stored.pool == "none" and len(stored.shape) == 1 and pool != DEFAULT_READ_POOLING:
        listener.note(f"{stored.name!r} is a vector: there is nothing to pool")
