"""Ikomia plugin: training of image classification with ResNeXt."""

NAME = "train_torchvision_resnext"
__version__ = "2.2.0"
