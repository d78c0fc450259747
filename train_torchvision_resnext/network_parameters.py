"""What can be set about the network: which one is trained, and what it starts from."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .resnext.architecture import Architecture
from .resnext.form import InForm, When
from .resnext.schema import ParameterSchema
from .resnext.weight_files import PUBLISHED_WEIGHTS

NO_WEIGHTS = "none"

WEIGHT_FILES = "Weights (*.safetensors *.pth *.pt);;All files (*)"

NAMED_MODEL = When(
    "torchvision's weights are of the named model: set weights to none or to your own",
    weights=r"[A-Z0-9_]+",
    use_pretrained="True",
)


class NetworkParameters(ParameterSchema):
    """The network and its first weights."""

    model_name: Annotated[
        Literal["resnext50", "resnext50_32x4d", "resnext101", "resnext101_32x8d", "resnext101_64x4d"],
        Field(
            title="Model",
            description="Architecture. `resnext50` is `resnext50_32x4d`, `resnext101` is `resnext101_32x8d`; "
            "`layers`, `cardinality` and `bottleneck_width` make another one of it.",
        ),
        InForm(first=True),
    ] = "resnext50"
    weights: Annotated[
        str,
        Field(
            title="Weights",
            description="What to start from: torchvision's ImageNet weights, `DEFAULT` being the best published; "
            "weights of your own; or `none`, random ones.",
            json_schema_extra={
                "allowed": "DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, none, or the path of a model folder, a "
                ".safetensors or a .pth state dict"
            },
        ),
        InForm(
            first=True,
            suggestions=("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2", "none"),
            picker="file or folder",
            files=WEIGHT_FILES,
            ruled_out={
                "IMAGENET1K_V2": When(
                    "torchvision publishes only IMAGENET1K_V1 for resnext101_64x4d", model_name="resnext101_64x4d"
                )
            },
        ),
    ] = "DEFAULT"
    use_pretrained: Annotated[
        bool,
        Field(title="Use pretrained weights", description="False is the same as `weights=none`."),
        InForm(group="Model"),
    ] = True
    feature_extract: Annotated[
        bool,
        Field(
            title="Train the classifier only",
            description="The backbone stays as it is, with its batch-norm statistics. Without augmentation, mixup, "
            "cutmix and erasing its features are computed once.",
        ),
        InForm(
            group="Model",
            idle=(
                When("a random backbone would stay random", use_pretrained="False"),
                When("a random backbone would stay random", weights="none"),
            ),
        ),
    ] = False
    layers: Annotated[
        str,
        Field(
            title="Layers",
            description="Blocks in each stage; empty = the model's own.",
            json_schema_extra={"allowed": "one to four integers such as 1,1,1,1"},
        ),
        InForm(group="Model", idle=(NAMED_MODEL,)),
    ] = ""
    cardinality: Annotated[
        int,
        Field(ge=0, le=256, title="Cardinality", description="Parallel paths of a block; 0 = the model's own."),
        InForm(group="Model", minimum_means="the model's own", idle=(NAMED_MODEL,)),
    ] = 0
    bottleneck_width: Annotated[
        int,
        Field(
            ge=0,
            le=256,
            title="Bottleneck width",
            description="Channels of one path in the first stage; 0 = the model's own.",
        ),
        InForm(group="Model", minimum_means="the model's own", idle=(NAMED_MODEL,)),
    ] = 0
    input_size: Annotated[
        int,
        Field(ge=16, le=4096, title="Input size", description="Side of the square the network sees, in pixels."),
        InForm(group="Model"),
    ] = 224

    @field_validator("weights")
    @classmethod
    def _weights_are_given(cls, value: str) -> str:
        if not value:
            raise ValueError("must not be empty")
        return value

    @field_validator("layers")
    @classmethod
    def _stages(cls, layers: str) -> str:
        numbers = re.fullmatch(r"\s*\d{1,3}(\s*,\s*\d{1,3}){0,3}\s*", layers)
        if layers and (not numbers or min(_integers(layers)) < 1):
            raise ValueError(f"must be {cls.allowed('layers')}, each at least 1, or empty")
        return ",".join(map(str, _integers(layers))) if layers else ""

    @property
    def architecture(self) -> Architecture:
        """What is trained: the named model, with what is given in its place."""
        named = Architecture.from_name(self.model_name)
        return Architecture(
            _integers(self.layers) or named.layers,
            self.cardinality or named.cardinality,
            self.bottleneck_width or named.bottleneck_width,
        )

    @property
    def start(self) -> str:
        """What training starts from: `weights`, or `none`."""
        return self.weights if self.use_pretrained else NO_WEIGHTS

    @property
    def starts_published(self) -> bool:
        """Whether it starts from torchvision's weights."""
        return re.fullmatch(r"[A-Z0-9_]+", self.start) is not None

    def contradictions(self) -> list[str]:
        """A sentence for each pair of values that cannot both be meant."""
        problems = []
        if not self.use_pretrained and self.weights not in ("DEFAULT", NO_WEIGHTS):
            problems.append(
                f"weights = {self.weights!r} and use_pretrained = False contradict each other: give weights only"
            )
        if self.feature_extract and self.start == NO_WEIGHTS:
            problems.append(
                "feature_extract = True without weights to start from: a random backbone would stay random; set "
                "weights, or feature_extract to False"
            )
        if self.starts_published:
            name = self.architecture.name
            published = PUBLISHED_WEIGHTS.get(name, ()) if str(self.architecture) == name else ()
            if not published:
                problems.append(
                    f"weights = {self.weights!r}: none are published for {self.architecture}; set weights to none or "
                    "to your own"
                )
            elif self.start not in ("DEFAULT", *published):
                problems.append(
                    f"weights = {self.weights!r}: published for {name} are {', '.join(published)}; others are "
                    f"{self.allowed('weights')}"
                )
        return problems


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number.strip())
