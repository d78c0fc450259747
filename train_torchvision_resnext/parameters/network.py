"""What can be set about the network: which one is trained, and what it starts from."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ..resnext.folder.weight_files import PUBLISHED, published_for
from ..resnext.host.fields import ModelName, weights_in_form
from ..resnext.host.form import InForm, When
from ..resnext.host.schema import ParameterSchema
from ..resnext.network.architecture import Architecture, ArchitectureError

NO_WEIGHTS = "none"

NAMED_MODEL = When(
    "torchvision's weights are of the named model: set weights to none or to your own",
    weights=PUBLISHED,
    use_pretrained="True",
)


class NetworkParameters(ParameterSchema):
    """The network and its first weights."""

    model_name: Annotated[
        ModelName,
        Field(
            json_schema_extra={
                "allowed": "resnext50, resnext101, or a member of the family such as resnext26_8x16d, resnext29_8x64d, "
                "resnet50: depth 11, 20, 26, 29, 38, 50, 101 or 152, cardinality, bottleneck width"
            },
        ),
        InForm(
            first=True,
            suggestions=("resnext50", "resnext101", "resnext101_64x4d", "resnet50", "resnet101", "resnext29_8x64d"),
        ),
    ] = "resnext50"
    """Architecture. `resnext50` is `resnext50_32x4d`, `resnext101` is `resnext101_32x8d`, a `resnet` has cardinality
    1; depths 11, 20, 29 and 38 are the CIFAR form. `layers`, `cardinality`, `bottleneck_width` and `stem` make
    another one of it.
    """
    weights: Annotated[
        str,
        Field(
            json_schema_extra={
                "allowed": "DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, none, or the path of a model folder, a "
                ".safetensors or a .pth state dict"
            }
        ),
        weights_in_form(NO_WEIGHTS),
    ] = "DEFAULT"
    """What to start from: torchvision's ImageNet weights, `DEFAULT` being the best published; weights of your own,
    which bring their architecture unless one is asked for; or `none`, random ones.
    """
    use_pretrained: Annotated[bool, Field(title="Use pretrained weights"), InForm(group="Model")] = True
    """False is the same as `weights=none`."""
    feature_extract: Annotated[
        bool,
        Field(title="Train the classifier only"),
        InForm(
            group="Model",
            idle=(
                When("a random backbone would stay random", use_pretrained="False"),
                When("a random backbone would stay random", weights="none"),
            ),
        ),
    ] = False
    """The backbone stays as it is, with its batch-norm statistics. Without augmentation, mixup, cutmix and erasing
    its features are computed once.
    """
    layers: Annotated[
        str,
        Field(json_schema_extra={"allowed": "one to four integers such as 1,1,1,1"}),
        InForm(group="Model", idle=(NAMED_MODEL,)),
    ] = ""
    """Blocks in each stage; empty = the model's own."""
    cardinality: Annotated[
        int, Field(ge=0, le=256), InForm(group="Model", minimum_means="the model's own", idle=(NAMED_MODEL,))
    ] = 0
    """Parallel paths of a block; 0 = the model's own."""
    bottleneck_width: Annotated[
        int, Field(ge=0, le=256), InForm(group="Model", minimum_means="the model's own", idle=(NAMED_MODEL,))
    ] = 0
    """Channels of one path in the first stage; 0 = the model's own."""
    stem: Annotated[Literal["auto", "imagenet", "cifar"], InForm(group="Model", idle=(NAMED_MODEL,))] = "auto"
    """Before the first stage: `imagenet`, which leaves a quarter of the resolution; `cifar`, which leaves it as it
    is, for images of about 32 pixels; `auto` = the model's own.
    """
    input_size: Annotated[int, Field(ge=16, le=4096), InForm(group="Model")] = 224
    """Side of the square the network sees, in pixels."""

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
        """What is trained: the named model, with what is given in its place. Raises: ArchitectureError."""
        named = Architecture.from_name(self.model_name)
        return Architecture(
            _integers(self.layers) or named.layers,
            self.cardinality or named.cardinality,
            self.bottleneck_width or named.bottleneck_width,
            named.stem if self.stem == "auto" else self.stem,
        )

    @property
    def asks_for_a_network(self) -> bool:
        """Whether anything of the architecture was given; weights of the user's own bring theirs otherwise."""
        given = ("model_name", "layers", "cardinality", "bottleneck_width", "stem")
        return any(getattr(self, key) != type(self).model_fields[key].default for key in given)

    @property
    def start(self) -> str:
        """What training starts from: `weights`, or `none`."""
        return self.weights if self.use_pretrained else NO_WEIGHTS

    @property
    def starts_published(self) -> bool:
        """Whether it starts from torchvision's weights."""
        return re.fullmatch(PUBLISHED, self.start) is not None

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
        return problems + self.architecture_problems()

    def architecture_problems(self) -> list[str]:
        """Why there is no such network, or no such weights for it; empty if there are."""
        try:
            architecture = self.architecture
        except ArchitectureError as error:
            return [str(error)]
        published = published_for(architecture)
        if not self.starts_published or self.start in published or (self.start == "DEFAULT" and published):
            return []
        if not published:
            return [
                f"weights = {self.weights!r}: none are published for {architecture}; set weights to none or to your own"
            ]
        return [
            f"weights = {self.weights!r}: published for {architecture} are {', '.join(published)}; others are "
            f"{self.allowed('weights')}"
        ]


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number.strip())
