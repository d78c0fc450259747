"""The best epoch of a training, however that ended → its complete model folder."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision.models import ResNet

from .fitting.checkpoint import load_best
from .fitting.loop import Fitted
from .metrics.best_epoch import measured
from .metrics.evaluation import Evaluation
from .results.judging import Judged, judge, judge_by_epoch
from .results.outcome import write_brief_outcome, write_outcome
from .run.plan import Plan
from .run.progress import Listener, Row, StopRequestedError
from .run.run_folder import RunFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What came of a training.

    Attributes:
        model_folder: None if it was stopped before its first epoch was over.
        evaluation: of the model in that folder, on the validation images; None without one.
        test: the same on the images of `test/`, which had no part in choosing it; None without them.
        history: a row an epoch.
        best_epoch: counted from 1: the epoch that the model is of; 0 without one.
        notes: what the user should know.
        stopped: it ended before its last epoch did, or before its model was evaluated.
    """

    model_folder: Path | None
    evaluation: Evaluation | None
    history: tuple[Row, ...]
    best_epoch: int
    notes: tuple[str, ...]
    stopped: bool
    test: Evaluation | None = None


class Finishing:
    """Evaluates the best network as inference will run it, and writes the model folder.

    Where training did not come to its end, the model is first written without an evaluation, which takes a moment:
    whatever ends the process from then on, a second Stop or signal, or the system, leaves that one. The same is done
    when the first Stop comes during the evaluation.

    Args:
        interrupted: training did not come to its end.

    Raises:
        RunFolderError: the best network's file is damaged.
    """

    def __init__(self, run: RunFolder, plan: Plan, fitted: Fitted, listener: Listener, interrupted: bool) -> None:
        self._run, self._fitted, self._listener, self._interrupted = run, fitted, listener, interrupted
        by = measured(fitted.history[fitted.best_epoch - 1], plan.parameters.best_epoch_by)
        best = f"the model is that of epoch {fitted.best_epoch} of {len(fitted.history)}, the best by {by}"
        self._plan = plan.noted(best)
        self._network, self._logits = _best_network(run, plan)
        self._brief: Result | None = None

    def write(self) -> Result:
        """Write the complete model folder; where that is not waited for, or fails after a failure, the brief one.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._interrupted and self._can_be_brief:
            self._write_brief()
        try:
            judged = judge(self._plan, self._network, self._logits, self._fitted.history, self._check)
            judged = replace(judged, interrupted=self._interrupted)
            plan = self._plan.noted(*judged.notes)
            notes = write_outcome(self._run.model, plan, judged, self._listener, self._check)
        except StopRequestedError:
            return self._brief or self._write_brief()
        except Exception:
            # What broke the training off, such as a full memory, may break off the evaluation, too.
            if not (self._fitted.failure and self._brief):
                raise
            logger.exception("evaluating the best epoch failed")
            return self._brief
        return self._result(judged, notes, self._fitted.stopped)

    def _check(self) -> None:
        """Raises: StopRequestedError: asked to end a second time."""
        if not self._can_be_brief:
            return
        if self._listener.stop_requested() and self._brief is None:
            self._write_brief()
        if self._listener.end_requested():
            raise StopRequestedError

    @property
    def _can_be_brief(self) -> bool:
        """Whether the epoch's own answers are to these images, which may have changed since an interruption."""
        return len(self._logits) == len(self._plan.dataset.val)

    def _write_brief(self) -> Result:
        judged = judge_by_epoch(self._plan, self._network, self._logits, self._fitted.history)
        run = self._run
        add = f"python -m train_torchvision_resnext finish {run.path} evaluates the model and completes its folder"
        plan = self._plan.noted(*judged.notes, add)
        self._brief = self._result(judged, write_brief_outcome(run.model, plan, judged), True, add)
        return self._brief

    def _result(self, judged: Judged, told: Sequence[str], stopped: bool, *more: str) -> Result:
        evaluation = judged.validation.evaluation
        return Result(
            self._run.model,
            evaluation,
            self._fitted.history,
            self._fitted.best_epoch,
            (*self._plan.notes, *judged.notes, *more, *told, *evaluation.notes),
            stopped,
            judged.test.evaluation if judged.test else None,
        )


def _best_network(run: RunFolder, plan: Plan) -> tuple[ResNet, NDArray[np.float32]]:
    """In evaluation mode, on the CPU; and its logits on the validation images in its own epoch, N x C."""
    state, logits = load_best(run.best)
    if plan.caches_features:
        # The classifier alone was trained; the rest is what training started from.
        state = {**plan.start.network.state_dict(), **{f"fc.{key}": tensor for key, tensor in state.items()}}
    return plan.start.architecture.load({key: tensor.cpu() for key, tensor in state.items()}), logits
