"""Keeps `python -m infer_torchvision_resnext.quantize` working, the form of version 2.0."""

import sys

from .__main__ import main

if __name__ == "__main__":
    sys.exit(main(["quantize", *sys.argv[1:]]))
