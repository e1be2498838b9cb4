"""Xception as a torch module equal to Keras's; from Keras's files to a TorchScript archive."""

from .conversion import convert
from .imagenet import download_imagenet_weights, imagenet_labels
from .network import Xception

__all__ = ["Xception", "convert", "download_imagenet_weights", "imagenet_labels"]
