"""A model folder, opened to be judged: network, labels, preprocessing and calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.models import ResNet
from tqdm import tqdm

from .data.loading import Images, Loading
from .data.samples import Reader, Sample
from .resnext.folder.golden import read_golden
from .resnext.folder.model_folder import ModelConfig, ModelFolderError, model_folder_of, read_config
from .resnext.folder.names import WEIGHTS
from .resnext.folder.weight_files import read_state
from .resnext.trust.evidence import read_evidence
from .results.answers import Answers
from .run.forward import fp32_outputs

BATCH = 32


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model as its folder holds it.

    Attributes:
        network: in evaluation mode, in fp32, on the CPU until it answers.
    """

    folder: Path
    config: ModelConfig
    network: ResNet

    @classmethod
    def from_folder(cls, given: Path) -> "TrainedModel":
        """Open a model folder, or that of a run.

        Raises:
            ModelFolderError, WeightFileError, ArchitectureError, GoldenError, EvidenceError: it cannot be used, or was
                changed since the training.
        """
        folder = model_folder_of(given)
        if not folder.is_dir():
            raise ModelFolderError(f"{given}: there is no such folder")
        config = read_config(folder)
        golden = read_golden(folder)
        problems = golden.contradictions(config.facts(read_evidence(folder))) if golden else []
        if problems:
            raise ModelFolderError(f"{folder}: {'; '.join(problems)}; put it back as it was, or train it again")
        network = config.network.load(read_state(folder / WEIGHTS, config.network))
        if network.fc.out_features != config.num_classes:
            raise ModelFolderError(
                f"{folder}: the weights have {network.fc.out_features} classes, the labels are {config.num_classes}"
            )
        return cls(folder, config, network)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.config.label_names

    def judge(self, samples: Sequence[Sample], device: torch.device, workers: int) -> Answers:
        """What it answers to these images, in fp32, calibrated as inference does.

        Raises:
            ReadError: an image cannot be read any more.
        """
        preprocessing, calibration = self.config.preprocessing, self.config.resnext.calibration
        batches = Loading(BATCH, workers, device).evaluation(Images(samples, Reader(preprocessing)))
        logits = fp32_outputs(self.network, preprocessing, tqdm(batches, desc="Evaluation", unit="batch"), device)
        answers = Answers.judge(samples, logits, self.labels, self.config.costs)
        return answers.at(calibration.temperature) if calibration else answers
