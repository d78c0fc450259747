"""The commands of `python -m infer_torchvision_resnext`."""
