"""Data sets as recipes, one per file. No torch at import, and no network without permission."""

from model_zoo.datasets.cifar_jpeg import CIFAR10JPEG
from model_zoo.datasets.digits import Digits
from model_zoo.datasets.folder import ImageFolder
from model_zoo.datasets.mnist import MNIST
from model_zoo.datasets.npz import Npz

__all__ = ["CIFAR10JPEG", "MNIST", "Digits", "ImageFolder", "Npz"]
