"""How good features are for search: the class of an image's neighbours. Never runs a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from featx.arguments import check_given_store, plain_arguments
from featx.checks.layers import check_pools
from featx.checks.numbers import check_several_numbers
from featx.errors import InvalidValue, join_names
from featx.events import Listener, choose_listener
from featx.heads.layer_choice import find_layers
from featx.index.opening import open_index
from featx.index.retrieval_report import RetrievalReport
from featx.index.retrieval_trials import RetrievalTask, compare_projections, measure_index
from featx.poolings import check_vector_pool
from featx.specs import DEFAULT_K, DEFAULT_READ_POOLING
from featx.store import open_store
from featx.store.choice import note_kept_poolings
from featx.wording import option


@plain_arguments(features=check_given_store, pool=check_pools, pca=check_several_numbers(1))
def evaluate_retrieval(
    features: str | Path,
    *,
    layers: Sequence[str] = (),
    pool: str | Sequence[str] = DEFAULT_READ_POOLING,
    pca: int | Sequence[int] | None = None,
    k: int = DEFAULT_K,
    index: str | Path | None = None,
    listener: Listener | None = None,
) -> RetrievalReport:
    """Measure how often the nearest neighbours of an image are of its class, by cosine similarity.

    Each image of a labelled store is a query among the others; identical files are left out of each
    other's neighbours. Of more than 5,000 images, so many are asked for.

    Args:
        features: The store.
        layers: The layers, by names, places or globs; all when empty.
        pool: Pooling of layers that were stored as maps, or several to be compared.
        pca: Also compare so many principal components, fitted on the store, plain and whitened;
            one number or several. Layers with fewer values are compared without.
        k: How many neighbours are looked at.
        index: Let this index find them, in its layer, instead of comparing all pairs.
        listener: Receives progress.

    Returns:
        The report.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer or pooling.
        InvalidValue: If there are no two images of a class, or if an index is given together with
            layers, a pooling or components.
        FingerprintMismatch: If the index is of another store.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="r.h5")
        >>> evaluate_retrieval("r.h5", k=3).best.total.nearest
        1.0
    """
    listener = choose_listener(listener)
    pools = [pool] if isinstance(pool, str) else list(pool)
    components = [pca] if isinstance(pca, int) else list(pca or ())
    for one in pools:
        check_vector_pool("pooling for retrieval", one)
    if index is not None:
        _check_alone(layers=layers, pool=pools != [DEFAULT_READ_POOLING], pca=components)
    with open_store(features) as store:
        task = RetrievalTask.of(store, k)
        if index is not None:
            trials = [measure_index(open_index(index), store, task)]
        else:
            named = [name for layer in layers for name in find_layers(store, str(layer))]
            chosen = list(dict.fromkeys(named)) or list(store.layers)
            if pools != [DEFAULT_READ_POOLING]:
                note_kept_poolings(store, chosen, listener)
            compared = [
                (layer, one)
                for layer in chosen
                for one in (pools if len(store.spec(layer).shape) > 1 else pools[:1])
            ]
            trials = []
            listener.start(len(compared), "layers")
            try:
                for feature in compared:
                    trials += compare_projections(store, feature, components, task, listener)
                    listener.advance(1)
            finally:
                listener.finish()
        return RetrievalReport(
            tuple(trials), k, len(task.rows), len(store) - len(task.rows), task.single
        )


def _check_alone(**given: object) -> None:
    """Refuse what an index has settled when it was built."""
    named = [option(name) for name, value in given.items() if value]
    if named:
        raise InvalidValue(
            f"{option('index')} compares what it was built of. Take away "
            f"{join_names(named, conjunction='and')}."
        )
