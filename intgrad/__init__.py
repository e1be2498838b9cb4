"""intgrad: which pixels made the score? Integrated Gradients for image classifiers.

>>> import intgrad
>>> model = intgrad.load_model("xception.pt")
>>> image = intgrad.load_image("elephant.jpg", size=model.input_size)
>>> attributions, info = intgrad.integrated_gradients(model, image, return_info=True)
>>> print(f"{model.top(image, 1)}, off by {info.error:.1%}")

Importing the package imports NumPy and the C core, and nothing else: torch, Pillow, matplotlib
and the others are imported by the functions that need them.
"""

import importlib
from typing import TYPE_CHECKING

from . import adapters
from ._core import ModelError
from ._version import __version__
from .attribution.call import integrated_gradients, random_baseline_integrated_gradients
from .attribution.expected import expected_gradients, iter_expected_gradients
from .attribution.info import AttributionInfo
from .attribution.smooth import iter_smoothgrad, smoothgrad
from .attribution.stream import iter_integrated_gradients
from .attribution.xrai import xrai
from .images.reading import load_image
from .models.loading import load_model
from .models.model import Model
from .models.saving import save_model
from .models.torch.backend import BackendError
from .models.torch.kept_memory import keep_freed_memory
from .pictures.sliders import explore
from .pictures.visualizer import GradVisualizer
from .results.reading import read_results, record_schema

if TYPE_CHECKING:
    from . import distributed, metrics

__all__ = [
    "AttributionInfo",
    "BackendError",
    "GradVisualizer",
    "Model",
    "ModelError",
    "__version__",
    "adapters",
    "distributed",
    "expected_gradients",
    "explore",
    "integrated_gradients",
    "iter_expected_gradients",
    "iter_integrated_gradients",
    "iter_smoothgrad",
    "keep_freed_memory",
    "load_image",
    "load_model",
    "metrics",
    "random_baseline_integrated_gradients",
    "read_results",
    "record_schema",
    "save_model",
    "smoothgrad",
    "xrai",
]


def __getattr__(name: str) -> object:
    """Import what few need when it is asked for."""
    if name in ("distributed", "metrics"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
