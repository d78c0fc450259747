"""Task, parameters and factories: dataset folder → training → model folder."""

from contextlib import ExitStack
from pathlib import Path

from ikomia import core, dataprocess
from ikomia.core import config

from train_torchvision_resnext import NAME, __version__
from train_torchvision_resnext.parameters.task import Parameters, read_host_map
from train_torchvision_resnext.resnext.host.outputs import FolderOutput, Results
from train_torchvision_resnext.resnext.host.streams import encodable_logger
from train_torchvision_resnext.resnext.host.task import (
    ChecksParameters,
    HostParameters,
    ParamFactory,
    TaskFactory,
)
from train_torchvision_resnext.run.progress import Listener, Signals

logger = encodable_logger("ikomia.train_torchvision_resnext")
"""Below the host's own, so that its lines go where the host's go: the terminal, its log file, STUDIO's log."""

DATASET = 0
"""Input."""

MODEL_FOLDER, RESULTS = 0, 1
"""Outputs."""

PROGRESS_STEPS = 1000
"""The host asks before the images are known, so that a step is a share of the work, not a batch."""


class TrainResNeXtParam(HostParameters):
    """Can be created without arguments, as the host does."""

    def __init__(self):
        super().__init__(Parameters, read_host_map)


class ModelFolder(FolderOutput):
    """The path of the last model. A training task that was disabled after its run still hands it on."""

    def clear_data(self):
        """Nothing: the host clears all outputs before every run; ours forgets its path when it trains again."""


class TrainResNeXt(ChecksParameters, dataprocess.CDnnTrainTask):
    """Trains on a folder of images and hands on the path of the model folder.

    Derived from what the host knows as a training task, past its Python class `TrainProcess`: that one starts a server
    open to the network when it is constructed, and its module imports MLflow, which takes longer than `import ikomia`.
    `tracking/` does in `run` what it is for.
    """

    def __init__(self, name, param):
        dataprocess.CDnnTrainTask.__init__(self, name, param)
        own = TrainResNeXtParam()
        if param is not None:
            own.set_values(dict(param.get_values()))
        self.set_param_object(own)
        self.add_input(dataprocess.CPathIO(core.IODataType.FOLDER_PATH))
        self.add_output(ModelFolder())
        self.add_output(Results())
        self._stops = 0
        self._steps_done = 0

    def get_progress_steps(self):
        return PROGRESS_STEPS

    def stop(self):
        super().stop()
        self._stops += 1

    def run(self):
        # Before the imports, which take seconds: from here on a Stop counts.
        self._stops = 0
        self._steps_done = 0
        self.get_output(MODEL_FOLDER).set_path("")
        self.get_output(RESULTS).clear_data()
        with Signals() as signals:
            # A second signal ends the process by itself.
            self._train(lambda: self._stops + (signals.received is not None))
        if signals.received:
            model = self.get_output(RESULTS).data["model_folder"]
            kept = (
                f"its best model so far is in {model}, and resume = auto goes on" if model else "there is no model yet"
            )
            signals.act(f"training was stopped by {signals.name}; {kept}")

    def _train(self, requests):
        """Train and hand on. `requests` tells how often the user has wanted to stop."""
        from train_torchvision_resnext.run.run_folder import RunFolder
        from train_torchvision_resnext.tracking.trackers import Tracking
        from train_torchvision_resnext.training import stopped_at_once, train

        parameters = self.get_param_object().parameters
        self.begin_task_run()
        if requests():
            # Nothing is worth waiting for any more, such as the start of a server.
            self._hand_on(stopped_at_once(), [])
            self.end_task_run()
            return
        folder = self._dataset_folder()
        tracking = Tracking.of_host(NAME, config.main_cfg)
        with ExitStack() as while_it_runs:

            def begins(path, network):
                run = RunFolder(path)
                name = f"{folder.name} {network} {path.name}"
                while_it_runs.enter_context(tracking.of_run(name, run.mlflow_run))
                tracking.log_parameters(parameters.to_strings())
                tracking.end_abandoned(other.mlflow_run for other in run.abandoned())

            listener = Listener(
                begins=begins,
                progress=self._progress,
                stop_requested=lambda: requests() > 0,
                end_requested=lambda: requests() > 1,
                epoch=lambda row: tracking.log_metrics(row, int(row["epoch"])),
                say=_say,
            )
            result = train(folder, parameters, listener)
            if result.model_folder:
                tracking.log_artifacts(result.model_folder)
            if result.test:
                judged = {f"test_{name}": value for name, value in result.test.scalars().items()}
                tracking.log_metrics(judged, result.best_epoch)
        self._hand_on(result, tracking.notes)
        self._progress(1.0)
        self.end_task_run()

    def _dataset_folder(self):
        path = self.get_input(DATASET).get_path()
        if not path:
            raise ValueError(
                "there is no dataset: connect a task that gives a folder, or run the workflow on a folder of images"
            )
        return Path(path)

    def _progress(self, done):
        steps = int(done * PROGRESS_STEPS)
        for _ in range(steps - self._steps_done):
            self.emit_step_progress()
        self._steps_done = max(steps, self._steps_done)

    def _hand_on(self, result, notes):
        if result.model_folder:
            self.get_output(MODEL_FOLDER).set_path(str(result.model_folder))
        self.get_output(RESULTS).data = {
            "format_version": 1,
            "model_folder": str(result.model_folder or ""),
            "stopped": result.stopped,
            "best_epoch": result.best_epoch,
            "best_epoch_by": self.get_param_object().parameters.best_epoch_by,
            "validation": result.evaluation.to_dict() if result.evaluation else {},
            "test": result.test.to_dict() if result.test else {},
            "history": [dict(row) for row in result.history],
            "notes": [*result.notes, *notes],
        }
        for note in notes:
            logger.info(note)


def _say(sentence):
    from tqdm import tqdm

    # In a terminal it would run on behind the bar.
    with tqdm.external_write_mode():
        logger.info(sentence)


class TrainResNeXtParamFactory(ParamFactory):
    """Of this task's parameters."""

    def __init__(self):
        super().__init__(NAME, TrainResNeXtParam)


class TrainResNeXtFactory(TaskFactory):
    """Creates the task and describes it to the HUB."""

    def __init__(self):
        super().__init__(NAME, __version__, TrainResNeXt)
        self.info.short_description = "Train ResNeXt to classify your own images."
        self.info.description = (
            "Turns folders of images into a classifier: fine-tuning or training from scratch of ResNeXt-50, "
            "ResNeXt-101 or an architecture of your own, on GPU or CPU. Its model folder is run by "
            "infer_torchvision_resnext and torchvision, and by timm where it knows the architecture."
        )
        self.info.keywords = "resnext,classification,training,fine-tuning,torchvision,cardinality"
        self.info.algo_type = core.AlgoType.TRAIN
        # Measured: 4.9 GB at most, with resnext50 in fp32 on two cores, 32 images of 224 pixels a step.
        self.info.hardware_config.min_ram = 6
