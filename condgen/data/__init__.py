"""Data: Lightning data modules and where their examples come from."""

from condgen.data.images import Images, ImageSource, Labelled
from condgen.data.sources import CIFAR10, MNIST, Digits, FashionMNIST, Folder

__all__ = ["CIFAR10", "MNIST", "Digits", "FashionMNIST", "Folder", "ImageSource", "Images", "Labelled"]
