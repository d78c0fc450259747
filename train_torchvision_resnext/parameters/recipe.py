"""What can be set about the recipe: how the weights are changed, and what the images go through."""

from typing import Annotated, Literal

from pydantic import Field

from ..resnext.host.form import InForm, When
from ..resnext.host.schema import ParameterSchema


class RecipeParameters(ParameterSchema):
    """The recipe of a training."""

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
            description="Batches to a step: the weights change by the mean of their gradients.",
        ),
        InForm(group="Optimization", minimum_means="off"),
    ] = 1
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Field(
            title="Optimizer",
            description="SGD with Nesterov momentum, or AdamW, which wants about a tenth of its learning rate.",
        ),
        InForm(group="Optimization"),
    ] = "sgd"
    learning_rate: Annotated[
        float,
        Field(ge=0, le=100, title="Learning rate", description="The highest of the schedule."),
        InForm(group="Optimization"),
    ] = 0.01
    momentum: Annotated[
        float,
        Field(ge=0, le=0.9999, title="Momentum", description="Of SGD."),
        InForm(group="Optimization", idle=(When("AdamW has its own momentum", optimizer="adamw"),)),
    ] = 0.9
    weight_decay: Annotated[
        float,
        Field(ge=0, le=10, title="Weight decay", description="Not applied to biases and batch norms."),
        InForm(group="Optimization"),
    ] = 0.0001
    scheduler: Annotated[
        Literal["cosine", "none"],
        Field(title="Schedule", description="How the learning rate falls after the warm-up: to 0, or not at all."),
        InForm(group="Optimization"),
    ] = "cosine"
    warmup_epochs: Annotated[
        float,
        Field(
            ge=0,
            le=1000,
            title="Warm-up epochs",
            description="The learning rate rises linearly for so long; never for more than half of the training.",
        ),
        InForm(group="Optimization"),
    ] = 0.5
    label_smoothing: Annotated[
        float,
        Field(ge=0, le=0.9, title="Label smoothing", description="Probability given to the other classes."),
        InForm(group="Regularization"),
    ] = 0.0
    augmentation: Annotated[
        Literal["none", "light", "trivial", "rand"],
        Field(
            title="Augmentation",
            description="`light`: random framing and mirroring; `trivial`, `rand`: TrivialAugment or RandAugment on "
            "top of it.",
        ),
        InForm(group="Regularization"),
    ] = "light"
    horizontal_flip: Annotated[
        bool,
        Field(
            title="Mirror",
            description="Augmentation may mirror left and right: not for text and digits.",
        ),
        InForm(group="Regularization", idle=(When("nothing is augmented", augmentation="none"),)),
    ] = True
    random_erasing: Annotated[
        float,
        Field(ge=0, le=1, title="Random erasing", description="Probability of painting over a random rectangle."),
        InForm(group="Regularization"),
    ] = 0.0
    mixup: Annotated[
        float,
        Field(ge=0, le=10, title="Mixup", description="Alpha of the blend of two images; 0 = off."),
        InForm(group="Regularization"),
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
        InForm(group="Regularization"),
    ] = 0.0
    class_balance: Annotated[
        Literal["none", "weighted", "sampler"],
        Field(
            title="Class balance",
            description="Rare classes count as much as common ones: by a weighted loss, or by drawing their images "
            "more often.",
        ),
        InForm(group="Regularization"),
    ] = "none"
    ema_decay: Annotated[
        float,
        Field(
            ge=0,
            le=0.99999,
            title="EMA decay",
            description="A running average of the weights is evaluated and kept instead of the weights; 0 = off.",
        ),
        InForm(group="Regularization"),
    ] = 0.0
    early_stopping_patience: Annotated[
        int,
        Field(ge=0, le=100_000, title="Patience", description="Epochs without a better one before it ends; 0 = off."),
        InForm(group="Regularization", minimum_means="off"),
    ] = 0
