"""Ikomia plugin: training of image classification with ResNeXt."""
