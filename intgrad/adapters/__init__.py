"""Models of other frameworks, as the callables that `load_model` takes.

>>> network = keras.applications.EfficientNetB0()
>>> model = intgrad.load_model(
...     intgrad.adapters.from_keras(network, scores="probabilities"), input_size=(224, 224)
... )

Each helper returns a callable f(batch, targets) -> (scores, gradients) on pixels, which says in its
attribute `output` what it differentiates. The framework is imported when the helper is called.
"""

from .adapter import Adapter
from .jax import from_jax
from .keras import from_keras
from .tensorflow import from_tensorflow
from .torch import from_torch

__all__ = ["Adapter", "from_jax", "from_keras", "from_tensorflow", "from_torch"]
