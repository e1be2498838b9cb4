"""Xception as a torch module equal to Keras's; from Keras's files to a TorchScript archive."""

from .network import Xception, convert, download_imagenet_weights, imagenet_labels

__all__ = ["Xception", "convert", "download_imagenet_weights", "imagenet_labels"]
