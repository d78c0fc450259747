"""Ikomia plugin: image classification with ResNeXt."""

__version__ = "2.2.0"
