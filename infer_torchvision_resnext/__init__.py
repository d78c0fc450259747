"""Ikomia plugin: image classification with ResNeXt."""

__version__ = "2.1.0"
