"""Work on a cluster of Ray: features of a Ray Dataset, as rows or as a store.

>>> import featx.ray
>>> featx.ray.features
<function features at ...>
"""

from featx.ray.featurizing import features as features
from featx.ray.storing import write_store as write_store
