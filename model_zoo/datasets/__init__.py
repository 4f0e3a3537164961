"""Data sets as recipes, one family per file. No torch at import, and no network without permission."""

from model_zoo.datasets.cifar import CIFAR10, CIFAR100
from model_zoo.datasets.cifar_jpeg import CIFAR10JPEG
from model_zoo.datasets.digits import Digits
from model_zoo.datasets.folder import ImageFolder
from model_zoo.datasets.mnist import MNIST, FashionMNIST
from model_zoo.datasets.npz import Npz
from model_zoo.datasets.svhn import SVHN

__all__ = [
    "CIFAR10",
    "CIFAR10JPEG",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "Npz",
]
