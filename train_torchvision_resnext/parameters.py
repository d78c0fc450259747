"""What can be set on the training task."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .resnext.architecture import Architecture, ArchitectureError
from .resnext.form import InForm, When
from .resnext.schema import ParameterError, ParameterSchema
from .resnext.weight_files import names_without, published_for

NO_WEIGHTS = "none"

WEIGHT_FILES = "Weights (*.safetensors *.pth *.pt);;All files (*)"

NAMED_MODEL = When(
    "torchvision's weights are of the named model: set weights to none or to your own",
    weights=r"[A-Z0-9_]+",
    use_pretrained="True",
)


class Parameters(ParameterSchema):
    """Parameters of `train_torchvision_resnext`."""

    model_name: Annotated[
        str,
        Field(
            title="Model",
            description="Architecture. `resnext50` is `resnext50_32x4d`, `resnext101` is `resnext101_32x8d`, a "
            "`resnet` has cardinality 1; depths 11, 20, 29 and 38 are the CIFAR form. `layers`, `cardinality`, "
            "`bottleneck_width` and `stem` make another one of it.",
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
                weights: When("torchvision publishes no such weights for this model", model_name=names_without(weights))
                for weights in ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2")
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
    stem: Annotated[
        Literal["auto", "imagenet", "cifar"],
        Field(
            title="Stem",
            description="Before the first stage: `imagenet`, which leaves a quarter of the resolution; `cifar`, which "
            "leaves it as it is, for images of about 32 pixels; `auto` = the model's own.",
        ),
        InForm(group="Model", idle=(NAMED_MODEL,)),
    ] = "auto"
    input_size: Annotated[
        int,
        Field(ge=16, le=4096, title="Input size", description="Side of the square the network sees, in pixels."),
        InForm(group="Model"),
    ] = 224
    epochs: Annotated[
        int,
        Field(ge=1, le=100_000, title="Epochs", description="Passes over the training images."),
        InForm(first=True),
    ] = 15
    batch_size: Annotated[
        int,
        Field(ge=1, le=65_536, title="Batch size", description="Images per step."),
        InForm(first=True),
    ] = 32
    gradient_accumulation: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            title="Gradient accumulation",
            description="Batches whose gradients are summed up before the weights change.",
        ),
        InForm(group="Optimisation", minimum_means="off"),
    ] = 1
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Field(
            title="Optimizer",
            description="SGD with Nesterov momentum, or AdamW, which wants about a tenth of its learning rate.",
        ),
        InForm(group="Optimisation"),
    ] = "sgd"
    learning_rate: Annotated[
        float,
        Field(ge=0, le=100, title="Learning rate", description="The highest of the schedule."),
        InForm(group="Optimisation"),
    ] = 0.01
    momentum: Annotated[
        float,
        Field(ge=0, le=0.9999, title="Momentum", description="Of SGD."),
        InForm(group="Optimisation", idle=(When("AdamW has its own momentum", optimizer="adamw"),)),
    ] = 0.9
    weight_decay: Annotated[
        float,
        Field(ge=0, le=10, title="Weight decay", description="Not applied to biases and batch norms."),
        InForm(group="Optimisation"),
    ] = 0.0001
    scheduler: Annotated[
        Literal["cosine", "none"],
        Field(title="Schedule", description="How the learning rate falls after the warm-up: to 0, or not at all."),
        InForm(group="Optimisation"),
    ] = "cosine"
    warmup_epochs: Annotated[
        float,
        Field(
            ge=0,
            le=1000,
            title="Warm-up epochs",
            description="The learning rate rises linearly for so long; never for more than half of the training.",
        ),
        InForm(group="Optimisation"),
    ] = 0.5
    label_smoothing: Annotated[
        float,
        Field(ge=0, le=0.9, title="Label smoothing", description="Probability given to the other classes."),
        InForm(group="Regularisation"),
    ] = 0.1
    augmentation: Annotated[
        Literal["none", "light", "trivial", "rand"],
        Field(
            title="Augmentation",
            description="`light`: random framing and mirroring; `trivial`, `rand`: TrivialAugment or RandAugment on "
            "top of it.",
        ),
        InForm(group="Regularisation"),
    ] = "light"
    horizontal_flip: Annotated[
        bool,
        Field(
            title="Mirror",
            description="Augmentation may mirror left and right: not for text and digits.",
        ),
        InForm(group="Regularisation", idle=(When("nothing is augmented", augmentation="none"),)),
    ] = True
    random_erasing: Annotated[
        float,
        Field(ge=0, le=1, title="Random erasing", description="Probability of painting over a random rectangle."),
        InForm(group="Regularisation"),
    ] = 0.0
    mixup: Annotated[
        float,
        Field(ge=0, le=10, title="Mixup", description="Alpha of the blend of two images; 0 = off."),
        InForm(group="Regularisation"),
    ] = 0.0
    cutmix: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            title="CutMix",
            description="Alpha of the patch taken from another image; 0 = off. With mixup, each batch gets one of "
            "the two.",
        ),
        InForm(group="Regularisation"),
    ] = 0.0
    class_balance: Annotated[
        Literal["none", "weighted", "sampler"],
        Field(
            title="Class balance",
            description="Rare classes count as much as common ones: by a weighted loss, or by drawing their images "
            "more often.",
        ),
        InForm(group="Regularisation"),
    ] = "none"
    ema_decay: Annotated[
        float,
        Field(
            ge=0,
            le=0.99999,
            title="EMA decay",
            description="A running average of the weights is evaluated and kept instead of the weights; 0 = off.",
        ),
        InForm(group="Regularisation"),
    ] = 0.0
    early_stopping_patience: Annotated[
        int,
        Field(ge=0, le=100_000, title="Patience", description="Epochs without a better one before it ends; 0 = off."),
        InForm(group="Regularisation", minimum_means="off"),
    ] = 0
    val_fraction: Annotated[
        float,
        Field(
            ge=0.01,
            le=0.9,
            title="Validation fraction",
            description="Share of each class set aside for validation where the folder has no validation part.",
        ),
        InForm(group="Dataset"),
    ] = 0.2
    max_broken: Annotated[
        float,
        Field(ge=0, le=1, title="Broken images", description="Share of unreadable images that is put up with."),
        InForm(group="Dataset"),
    ] = 0.1
    device: Annotated[
        str,
        Field(
            title="Device",
            description="Where the network is trained; `auto` takes the first GPU, if there is one.",
            json_schema_extra={"allowed": "auto, cpu, cuda or cuda:N"},
        ),
        InForm(group="Device", suggestions=("auto", "cpu", "cuda")),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Field(
            title="Precision",
            description="Number format of the forward and backward pass; weights stay fp32. `auto` is bf16 where the "
            "device computes in it, else fp16 on a GPU with tensor cores, else fp32. fp16 needs a GPU.",
        ),
        InForm(group="Device", ruled_out={"fp16": When("fp16 needs a GPU", device="cpu")}),
    ] = "auto"
    num_workers: Annotated[
        int,
        Field(
            ge=-1,
            le=256,
            title="Workers",
            description="Processes that load images; 0 = none but the training itself, -1 = as the device needs.",
        ),
        InForm(group="Device", minimum_means="as the device needs"),
    ] = -1
    seed: Annotated[
        int,
        Field(ge=0, le=2**31 - 1, title="Seed", description="Of the split, the initial weights and the draws."),
        InForm(group="Reproducing"),
    ] = 0
    deterministic: Annotated[
        bool,
        Field(
            title="Deterministic",
            description="Only reproducible kernels on a GPU, at some cost; a CPU is reproducible anyway.",
        ),
        InForm(group="Reproducing", idle=(When("a CPU is reproducible anyway", device="cpu"),)),
    ] = False
    export_pth: Annotated[
        bool,
        Field(title="Export .pth", description="Also write the bare state dict, `<model_name>.pth`."),
        InForm(group="Export"),
    ] = True
    export_onnx: Annotated[
        bool,
        Field(title="Export ONNX", description="Also write `model.onnx`, compared with the model before."),
        InForm(group="Export"),
    ] = False
    output_folder: Annotated[
        str,
        Field(
            title="Output folder",
            description="Each run makes a folder in it, with the model folder `model/` within.",
            json_schema_extra={"allowed": "the path of a folder; it is made if need be"},
        ),
        InForm(first=True, picker="new folder"),
    ] = "~/Ikomia/Training/resnext"
    resume: Annotated[
        str,
        Field(
            title="Resume",
            description="Go on with an interrupted run: the newest one in the output folder that has these "
            "parameters and images (`auto`), or a certain one. Empty = start anew.",
            json_schema_extra={"allowed": "empty, auto, or the path of a run folder"},
        ),
        InForm(group="Reproducing", suggestions=("", "auto"), picker="folder"),
    ] = ""

    @field_validator("model_name")
    @classmethod
    def _of_the_family(cls, model_name: str) -> str:
        Architecture.from_name(model_name)
        return model_name

    @field_validator("weights", "output_folder")
    @classmethod
    def _given(cls, value: str) -> str:
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

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"must be {cls.allowed('device')}")
        return device

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
    def start(self) -> str:
        """What training starts from: `weights`, or `none`."""
        return self.weights if self.use_pretrained else NO_WEIGHTS

    @property
    def starts_published(self) -> bool:
        """Whether it starts from torchvision's weights."""
        return re.fullmatch(r"[A-Z0-9_]+", self.start) is not None

    @property
    def caches_features(self) -> bool:
        """Whether every epoch shows the backbone the same pixels, so that its features need computing only once."""
        changes = self.augmentation != "none" or self.random_erasing or self.mixup or self.cutmix
        return self.feature_extract and not changes

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
        problems += self.architecture_problems()
        if self.batch_size == 1 and not self.feature_extract:
            problems.append("batch_size = 1: batch normalisation needs at least 2 images to train")
        return problems

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


def read_host_map(values: Mapping[str, object]) -> Parameters:
    """Parse the host's map; the keys of the HUB's earlier plugin are among ours and mean the same.

    Raises:
        ParameterError: unknown keys, refused values, values that contradict each other.
    """
    parameters = Parameters.from_strings(values)
    if problems := parameters.contradictions():
        raise ParameterError(problems)
    return parameters


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number.strip())
