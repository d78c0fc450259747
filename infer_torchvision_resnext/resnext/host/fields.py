"""Parameters that both plugins have: types with their checks, and how they appear in the form."""

from typing import Annotated

from pydantic import AfterValidator, Field

from ..folder.weight_files import SUFFIXES, names_without
from ..images.rgb import ValueRange
from ..network.architecture import Architecture
from .form import InForm, When

PUBLISHED_NAMES = ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2")


def _of_the_family(name: str) -> str:
    Architecture.from_name(name)
    return name


ModelName = Annotated[str, AfterValidator(_of_the_family), Field(title="Model")]

Device = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", json_schema_extra={"allowed": "auto, cpu, cuda or cuda:N"}),
    InForm(group="Device", suggestions=("auto", "cpu", "cuda")),
]

Range = Annotated[
    str,
    AfterValidator(lambda text: str(ValueRange.parse(text))),
    Field(json_schema_extra={"allowed": "auto, minmax, or low,high such as 0,4095"}),
]
"""As `ValueRange` reads it."""

MAX_DROP = 0.01
"""How much worse than in fp32 accuracy, calibration and the share of `unknown` may be in int8, as a fraction."""

RANGES = ("auto", "minmax", "0,4095")

Threads = Annotated[int, Field(ge=0, le=1024), InForm(group="Device", minimum_means="the machine's cores")]


def weights_in_form(*others: str) -> InForm:
    """Published weights, where there are such for the model, or a file or folder of the user's own.

    Args:
        others: further suggestions.
    """
    return InForm(
        first=True,
        suggestions=(*PUBLISHED_NAMES, *others),
        picker="file or folder",
        files=f"Weights ({' '.join(f'*{suffix}' for suffix in SUFFIXES)});;All files (*)",
        ruled_out={
            name: When("torchvision publishes no such weights for this model", model_name=names_without(name))
            for name in PUBLISHED_NAMES
        },
    )
