"""The model of most tests: a two-stage ResNeXt for three classes, which sees 32 pixels."""

from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture

ARCHITECTURE = Architecture((1, 1), 4, 4)
LABELS = ("ant", "bee", "cat")
PREPROCESSING = Preprocessing(36, 32)
