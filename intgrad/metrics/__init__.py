"""Is the map right? Metrics of attributions, each with its standard error over images.

>>> from intgrad import metrics
>>> print(metrics.deletion(model, images, attributions).summary())
>>> maps = {"IG": attributions, "SmoothGrad": slopes}
>>> print(metrics.compare(model, images, maps, ["deletion", "insertion", "road"]))
"""

from .comparison import Comparison, compare
from .curves import deletion, insertion
from .infidelity import infidelity
from .information import aic, sic
from .pointing import energy_inside, pointing_game
from .randomizing import randomization
from .result import MetricResult
from .road import road
from .stability import max_sensitivity
from .subsets import mu_fidelity, sensitivity_n

__all__ = [
    "Comparison",
    "MetricResult",
    "aic",
    "compare",
    "deletion",
    "energy_inside",
    "infidelity",
    "insertion",
    "max_sensitivity",
    "mu_fidelity",
    "pointing_game",
    "randomization",
    "road",
    "sensitivity_n",
    "sic",
]
