"""Work on a cluster of Ray: features of a Ray Dataset, as rows or as a store.

>>> import featx.ray
>>> featx.ray.features
<function features at ...>
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.late_names import import_when_used

if TYPE_CHECKING:
    from featx.ray.featurizing import features as features
    from featx.ray.storing import write_store as write_store

_PUBLIC = {"features": "featx.ray.featurizing", "write_store": "featx.ray.storing"}

__all__ = list(_PUBLIC)

if not TYPE_CHECKING:  # For type checkers, every name would then exist.
    __getattr__ = import_when_used(__name__, _PUBLIC)
