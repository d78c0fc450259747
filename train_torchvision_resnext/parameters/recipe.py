"""What can be set about the recipe: how the weights are changed, and what the images go through."""

from typing import Annotated, Literal

from pydantic import Field

from ..resnext.host.form import InForm, When
from ..resnext.host.schema import ParameterSchema

Measure = Literal["top1", "macro_f1", "balanced_accuracy", "loss", "expected_cost"]
"""What tells which epoch is best."""


class RecipeParameters(ParameterSchema):
    """The recipe of a training."""

    epochs: Annotated[int, Field(ge=1, le=100_000), InForm(first=True)] = 15
    """Passes over the training images."""
    max_minutes: Annotated[float, Field(title="Time limit", ge=0, le=1_000_000), InForm(group="Optimization")] = 0.0
    """Minutes until training ends as by Stop: the best epoch is evaluated, which comes on top, and its model folder is
    complete. 0 = no limit.
    """
    batch_size: Annotated[int, Field(ge=1, le=65_536), InForm(first=True)] = 32
    """Images per step."""
    gradient_accumulation: Annotated[int, Field(ge=1, le=1024), InForm(group="Optimization", minimum_means="off")] = 1
    """Batches to a step: the weights change by the mean of their gradients."""
    optimizer: Annotated[Literal["sgd", "adamw"], InForm(group="Optimization")] = "sgd"
    """SGD with Nesterov momentum, or AdamW, which wants about a tenth of its learning rate."""
    learning_rate: Annotated[float, Field(ge=0, le=100), InForm(group="Optimization")] = 0.01
    """The highest of the schedule."""
    momentum: Annotated[
        float,
        Field(ge=0, le=0.9999),
        InForm(group="Optimization", idle=(When("AdamW has its own momentum", optimizer="adamw"),)),
    ] = 0.9
    """Of SGD."""
    weight_decay: Annotated[float, Field(ge=0, le=10), InForm(group="Optimization")] = 0.0001
    """Not applied to biases and batch norms."""
    scheduler: Annotated[Literal["cosine", "none"], Field(title="Schedule"), InForm(group="Optimization")] = "cosine"
    """How the learning rate falls after the warm-up: to 0, or not at all."""
    warmup_epochs: Annotated[float, Field(title="Warm-up epochs", ge=0, le=1000), InForm(group="Optimization")] = 0.5
    """The learning rate rises linearly for so long; never for more than half of the training."""
    label_smoothing: Annotated[float, Field(ge=0, le=0.9), InForm(group="Regularization")] = 0.0
    """Probability given to the other classes."""
    augmentation: Annotated[Literal["none", "light", "trivial", "rand"], InForm(group="Regularization")] = "light"
    """`light`: random framing and mirroring; `trivial`, `rand`: TrivialAugment or RandAugment on top of it."""
    horizontal_flip: Annotated[
        bool,
        Field(title="Mirror"),
        InForm(group="Regularization", idle=(When("nothing is augmented", augmentation="none"),)),
    ] = True
    """Augmentation may mirror left and right: not for text and digits."""
    random_erasing: Annotated[float, Field(ge=0, le=1), InForm(group="Regularization")] = 0.0
    """Probability of painting over a random rectangle."""
    mixup: Annotated[float, Field(ge=0, le=10), InForm(group="Regularization")] = 0.0
    """Alpha of the blend of two images; 0 = off."""
    cutmix: Annotated[float, Field(title="CutMix", ge=0, le=10), InForm(group="Regularization")] = 0.0
    """Alpha of the patch taken from another image; 0 = off. With mixup, each batch gets one of the two."""
    class_balance: Annotated[Literal["none", "weighted", "sampler"], InForm(group="Regularization")] = "none"
    """Rare classes count as much as common ones: by a weighted loss, or by drawing their images more often."""
    ema_decay: Annotated[float, Field(title="EMA decay", ge=0, le=0.99999), InForm(group="Regularization")] = 0.0
    """A running average of the weights is evaluated and kept instead of the weights; 0 = off."""
    early_stopping_patience: Annotated[
        int, Field(title="Patience", ge=0, le=100_000), InForm(group="Regularization", minimum_means="off")
    ] = 0
    """Epochs without a better one before it ends; 0 = off."""
    best_epoch_by: Annotated[Measure, InForm(group="Best epoch")] = "top1"
    """What tells on the validation images which epoch is kept: top-1 accuracy, macro F1, balanced accuracy (the mean
    of the classes' recalls), loss, or what the answers cost by `cost_matrix`. Of equal ones, the lower loss.
    """
    cost_matrix: Annotated[
        str,
        Field(json_schema_extra={"allowed": "the path of a table in CSV"}),
        InForm(group="Best epoch", picker="file", files="Tables (*.csv);;All files (*)"),
    ] = ""
    """What wrong answers cost: the first row names the answers, each further one a true class and the cost of each
    answer to it, 0 for the right one. Kept in the model folder: inference then gives the answer of least expected cost.
    """
