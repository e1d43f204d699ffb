"""What is said of the layer and the pooling that a command takes from a store."""

from __future__ import annotations

from collections.abc import Sequence

from featx.errors import FeatxError, InvalidValue
from featx.events import Listener
from featx.specs import DEFAULT_READ_POOLING, FeatureSpec
from featx.store.reader import FeatureStore
from featx.wording import command, option


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
    if pool != DEFAULT_READ_POOLING and pool != store.spec(layer).pool:
        note_kept_poolings(store, [layer], listener)


def note_kept_poolings(
    store: FeatureStore, layers: Sequence[str | int | None], listener: Listener
) -> None:
    """Note that poolings that were asked for have no effect, where no layer is stored as maps.

    Args:
        store: The open store.
        layers: The layers that are read, at least one; None for the deepest.
        listener: Receives the note.
    """
    kept = [_describe_kept_pooling(store.spec(layer)) for layer in layers]
    if all(kept):
        several = f"{option('pool')} has no effect: no layer is stored as maps"
        listener.note(kept[0] if len(kept) == 1 and kept[0] else several)


def _describe_kept_pooling(stored: FeatureSpec) -> str | None:
    """Say why a layer is not pooled when it is read; None if it is."""
    if stored.pool != "none":
        return f"{stored.name!r} was stored with {stored.pool!r} pooling, which is kept"
    if len(stored.shape) == 1:
        return f"{stored.name!r} is a vector: there is nothing to pool"
    return None
