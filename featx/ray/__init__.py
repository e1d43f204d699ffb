"""Work on a cluster of Ray: features of a Ray Dataset; `featx.extract` by workers.

>>> import featx.ray
>>> featx.ray.features
<function features at ...>
"""

from featx.ray.featurizing import features as features
