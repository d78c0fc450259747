"""Ikomia plugin: image classification with ResNeXt."""
