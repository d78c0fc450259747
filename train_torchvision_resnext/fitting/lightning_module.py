"""One step of training, one step of validation: what Lightning's trainer is told to repeat."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from typing_extensions import Self

from ..data.augmentation import Blend
from ..data.loading import Batch
from ..parameters import Parameters
from .recipe import Schedule, averaged, class_weights, make_optimizer


class NotFiniteError(ArithmeticError):
    """Training diverged: the loss or the network's answers are NaN or infinite."""

    def __init__(self, where: str, what: str, cause: str) -> None:
        super().__init__(f"{what} {where}: training has diverged. Likely cause: {cause}")


class ClassificationModule(LightningModule):
    """A network and how it learns.

    Args:
        network: takes what `prepare` gives, gives N x C logits.
        prepare: a batch as it was loaded → the network's input, floating point.
        parameters: the recipe.
        class_counts: training images of each class.

    Attributes:
        val_logits: N x C, float32, of the last whole validation, in the loader's order.
        val_targets: the N class indices.
        train_loss: mean over the images of the epoch so far.
    """

    def __init__(
        self,
        network: nn.Module,
        prepare: Callable[[torch.Tensor], torch.Tensor],
        parameters: Parameters,
        class_counts: Sequence[int],
    ) -> None:
        super().__init__()
        self.network = network
        self.averaged = averaged(network, parameters.ema_decay) if parameters.ema_decay else None
        self.val_logits: NDArray[np.float32] = np.empty((0, len(class_counts)), np.float32)
        self.val_targets: NDArray[np.int64] = np.empty(0, np.int64)
        self._prepare = prepare
        self._recipe = parameters
        self._blend = Blend(parameters.mixup, parameters.cutmix, len(class_counts), parameters.seed)
        self._class_weights = class_weights(class_counts, parameters.class_balance)
        self._loss_sum, self._images = 0.0, 0
        self._validated: list[Batch] = []

    @property
    def answering(self) -> nn.Module:
        """The network that is evaluated and kept: the running average, where there is one."""
        return self.network if self.averaged is None else self.averaged.module

    @property
    def train_loss(self) -> float:
        return self._loss_sum / max(1, self._images)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if mode:
            # What is not trained keeps its batch-norm statistics too.
            for child in self.network.modules():
                parameters = list(child.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    child.eval()
        return self

    def on_train_epoch_start(self) -> None:
        self.train()
        self._loss_sum, self._images = 0.0, 0

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        inputs, targets = self._prepare(batch[0]), batch[1]
        if self._blend:
            inputs, targets = self._blend(inputs, targets, self.current_epoch, batch_idx)
        logits = self.network(inputs).float()
        weights = self._class_weights
        loss: torch.Tensor = functional.cross_entropy(
            logits,
            targets,
            None if weights is None else weights.to(logits),
            label_smoothing=self._recipe.label_smoothing,
        )
        value = loss.item()
        if not math.isfinite(value):
            where = f"in epoch {self.current_epoch + 1}, step {batch_idx + 1}"
            raise NotFiniteError(where, f"the loss is {value}", self._likely_cause())
        self._loss_sum += value * len(logits)
        self._images += len(logits)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        self._validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.answering(self._prepare(batch[0]))
        self._validated.append((logits.float().cpu(), batch[1].cpu()))

    def on_validation_epoch_end(self) -> None:
        logits, targets = zip(*self._validated, strict=True)
        self.val_logits = torch.cat(logits).numpy()
        self.val_targets = torch.cat(targets).numpy()
        if not np.isfinite(self.val_logits).all():
            what = "the network's answers on the validation images are not finite"
            raise NotFiniteError(f"after epoch {self.current_epoch + 1}", what, self._likely_cause())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = make_optimizer(self.network, self._recipe)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = Schedule(total, self._recipe)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _likely_cause(self) -> str:
        precision = str(self.trainer.precision)
        if precision.startswith("16"):
            return "fp16 overflows; set precision to bf16 or fp32, or lower learning_rate"
        return f"learning_rate {self._recipe.learning_rate:g} is too high; try a tenth of it"
