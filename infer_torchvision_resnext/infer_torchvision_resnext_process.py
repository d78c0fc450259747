"""Task, parameters and factories: host inputs → classifier → host outputs."""

import math
import threading
import time
from pathlib import Path

from ikomia import core, dataprocess
from ikomia.core import config

from infer_torchvision_resnext import __version__
from infer_torchvision_resnext.answers.activation_map import heat_of, seen_of
from infer_torchvision_resnext.answers.predictions import Prediction
from infer_torchvision_resnext.answers.regions import SMALLEST_SIDE, GraphicsItem, regions_of, view
from infer_torchvision_resnext.answers.tracks import Moment
from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.drawing.annotation import Annotation, caption, color_of, colors_of, draw, host_font_size
from infer_torchvision_resnext.parameters.task import Parameters, read_host_map
from infer_torchvision_resnext.resnext.host.outputs import ImageOutput, LosslessImageOutput, Results, TableOutput
from infer_torchvision_resnext.resnext.host.streams import encodable_logger
from infer_torchvision_resnext.resnext.host.task import (
    ChecksParameters,
    HostParameters,
    ParamFactory,
    TaskFactory,
)
from infer_torchvision_resnext.resnext.images.host_file import pixels_as_in_training
from infer_torchvision_resnext.resnext.images.rgb import ImageError, dim_note, to_rgb
from infer_torchvision_resnext.resnext.machine.printable import shown

logger = encodable_logger("ikomia.infer_torchvision_resnext")
"""Below the host's own, so that its lines go where the host's go: the terminal, its log file, STUDIO's log."""

NAME = "infer_torchvision_resnext"

IMAGE, GRAPHICS, MODEL_FOLDER = 0, 1, 2
"""Inputs. The third is optional and carries the folder of a model, as the training task's output does."""

OBJECTS_OUT, GRAPHICS_OUT, TABLE_OUT, RESULTS_OUT, MAP_OUT = 1, 2, 3, 4, 5
"""Outputs; 0 is the image, forwarded by the host."""


REPEATED = (
    "the workflow gives the same file again: run_on(folder=...) repeats the image of an earlier run_on of the same "
    "workflow, which is Ikomia's fault; call clear_inputs() of the workflow before it"
)


class StopRequestedError(Exception):
    """The user wants the run to end."""


class InferResNeXtParam(HostParameters):
    """Can be created without arguments, as the host does."""

    def __init__(self):
        super().__init__(Parameters, read_host_map)


class MapImage(LosslessImageOutput):
    """Where the network looked."""

    def __init__(self):
        super().__init__("ActivationMap")

    def save(self, path):
        # Saving by itself, the host gives all images of a task one name.
        if self.is_data_available():
            super().save(f"{path.removesuffix('.png')}_map.png" if self.auto_save else path)


class InferResNeXt(ChecksParameters, dataprocess.CClassificationTask):
    """Classifies the whole image, or every object that came in."""

    def __init__(self, name, param):
        dataprocess.CClassificationTask.__init__(self, name)
        own = InferResNeXtParam()
        if param is not None:
            own.set_values(dict(param.get_values()))
        self.set_param_object(own)
        self.add_input(dataprocess.CPathIO(core.IODataType.FOLDER_PATH))
        self.set_output(ImageOutput("ImageIO"), IMAGE)
        self.set_output(TableOutput(), TABLE_OUT)
        self.add_output(Results())
        self.add_output(MapImage())
        self._classifier = Classifier(Path(config.main_cfg["data"]["path"]) / NAME, logger.info)
        self._annotations = []
        self._seen = []
        self._dimness = ""
        self._file_note = ""
        self._named = ()
        self._last_file = ()
        self._stop = threading.Event()

    def get_progress_steps(self):
        """Loading and one batch; `_classify_objects` adds a step for each further batch."""
        return 2

    def stop(self):
        """End the run after the batch that is being computed, without results."""
        super().stop()
        self._stop.set()

    def init_long_process(self):
        """Load the weights, downloading them if need be, and run once on a blank image."""
        self._classifier.prepare(self._parameters())
        self._classifier.warm_up()
        super().init_long_process()

    def run(self):
        start = time.perf_counter()
        self._stop.clear()
        self._clear_results()
        parameters = self._parameters()
        self._classifier.prepare(parameters)
        # The first begin_task_run would call our init_long_process, warm-up and all, and wrap its errors twice.
        super().init_long_process()
        self.begin_task_run()
        frame = self._frame()
        self._name_classes()
        results = self._results(frame, parameters)
        height, width = frame.shape[:2]
        self.get_output(RESULTS_OUT).data = {
            "format_version": 1,
            "file": self.get_input(IMAGE).source_file_path,
            "image": {"width": width, "height": height},
            **results,
            **self._classifier.describe(),
            "timings_ms": {**self._classifier.timings_ms, "total": (time.perf_counter() - start) * 1000},
        }
        self.end_task_run()

    def get_image_with_graphics(self):
        """The image with maps, boxes and captions: RGB, uint8; small ones are enlarged so that the text can be read."""
        heat = self.get_output(MAP_OUT).get_image()
        return draw(self.get_output(IMAGE).get_image(), self._annotations, heat, self._seen)

    def _results(self, frame, parameters):
        """Classify; after a stop there are no results, since the objects done until then are not all of them.

        The run still ends without an error: after a task's error, a host that was asked to stop refuses its next run.
        """
        at_objects = self._looks_at_objects(parameters.region)
        try:
            self._step()
            results = (self._classify_objects if at_objects else self._classify_image)(frame, parameters)
        except StopRequestedError:
            self._clear_results()
            region = "objects" if at_objects else "image"
            return {"region": region, "predictions": [], "stopped": True, "notes": ["stopped: there are no results"]}
        of_image = [note for note in (self._file_note, self._dimness, self._repeated()) if note]
        return {**results, "stopped": False, "notes": results["notes"] + of_image + self._classifier.notes}

    def _step(self):
        """Tell the host that a step is done. Raises: StopRequestedError."""
        self.emit_step_progress()
        if self._stop.is_set():
            raise StopRequestedError

    def _clear_results(self):
        for output in self.get_outputs()[OBJECTS_OUT:]:
            output.clear_data()
        self._annotations = []
        self._seen = []

    def _parameters(self):
        """What was set; a model folder that comes in takes the place of `weights`."""
        parameters = self.get_param_object().parameters
        folder = self.get_input(MODEL_FOLDER).get_path()
        return parameters.updated({"weights": folder}) if folder else parameters

    def _frame(self):
        image = self.get_input(IMAGE)
        source = image.source_file_path
        try:
            pixels, self._file_note = pixels_as_in_training(source, image.get_image())
            frame = to_rgb(pixels, self._classifier.preprocessing.value_range)
        except ImageError as error:
            raise ImageError(f"{shown(source)}: {error}" if source else str(error)) from error
        self._dimness = dim_note(pixels, self._classifier.preprocessing.value_range)
        return frame

    def _repeated(self):
        """A note if the host gives the file of the run before again, in a run on a folder."""
        image = self.get_input(IMAGE)
        # The host names the folder by the time when the run of the workflow began, and saves by itself after a folder.
        last, self._last_file = self._last_file, (self.output_folder, image.source_file_path)
        of_folder = self.get_output(RESULTS_OUT).auto_save and not isinstance(image, dataprocess.CVideoIO)
        return REPEATED if of_folder and image.source_file_path and self._last_file == last else ""

    def _name_classes(self):
        if self._named != self._classifier.labels:
            self._named = self._classifier.labels
            # The host makes colors only once; without ours it would read past its table after a larger model.
            self.set_names(list(self._named))
            self.set_colors(colors_of(self._named))

    def _looks_at_objects(self, region):
        if region != "auto":
            return region == "objects"
        return self._detector_is_connected()

    def _detector_is_connected(self):
        # The host has no such question. An input that nothing is connected to keeps its first name.
        graphics = self.get_input(GRAPHICS)
        return graphics.is_data_available() or graphics.name != "GraphicsInput"

    def _classify_image(self, frame, parameters):
        (prediction,) = self._classifier.classify([frame])
        self._step()
        height, width = frame.shape[:2]
        if parameters.maps:
            self._show_maps([prediction], [(0, 0, width, height)], width, height)
        self._show_image_result(prediction, frame)
        notes = ["track: the whole image was classified, and only objects have tracks"] if parameters.track else []
        return {"region": "image", "predictions": [{"box_xywh": None, **prediction.to_dict()}], "notes": notes}

    def _classify_objects(self, frame, parameters):
        height, width = frame.shape[:2]
        regions = regions_of(_item(item) for item in self.get_input(GRAPHICS).get_items())
        views = [region.pixels(width, height, parameters.object_margin) for region in regions]
        readable = [view(frame, box) for box in views if box]
        self.emit_add_sub_progress_steps(max(0, math.ceil(len(readable) / parameters.batch_size) - 1))
        answers = iter(self._classifier.classify(readable, self._step))
        if not readable:
            self._step()
        too_small = Prediction.unreadable(f"less than {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels lie in the image")
        alone = [next(answers) if box else too_small for box in views]
        if parameters.maps:
            self._show_maps(alone, views, width, height)
        predictions = self._classifier.follow(self._moment(width, height), regions, alone)
        self._show_objects(regions, predictions, width, height)
        notes = [] if self._detector_is_connected() else ["region=objects, but nothing is connected to input 1"]
        return {
            "region": "objects",
            "predictions": [
                {
                    "object_id": region.object_id,
                    "detected": region.detected,
                    "box_xywh": list(region.box_xywh),
                    "view_xywh": list(box) if box else None,
                    **prediction.to_dict(),
                }
                for region, box, prediction in zip(regions, views, predictions, strict=True)
            ],
            "notes": notes,
        }

    def _show_maps(self, predictions, views, width, height):
        maps = zip((each.activation_map for each in predictions), views, strict=True)
        mapped = [(found, box) for found, box in maps if found]
        preprocessing = self._classifier.preprocessing
        self.get_output(MAP_OUT).set_image(heat_of(mapped, preprocessing, width, height))
        seen = {tuple(box): seen_of(box, preprocessing) for _, box in mapped}
        self._seen = [part for whole, part in seen.items() if part != whole]

    def _moment(self, width, height):
        # Nothing announces a film to the task: a video is known by its file, and that it started again by the frame.
        image = self.get_input(IMAGE)
        frame = image.get_current_pos() if isinstance(image, dataprocess.CVideoIO) else 0
        return Moment(image.source_file_path, frame, (width, height))

    def _show_image_result(self, prediction, frame):
        labels, probabilities = zip(*prediction.table(), strict=True)
        self.set_whole_image_results(list(labels), list(probabilities))
        # The host's own text is of one size and shows the raw number.
        graphics = self.get_output(GRAPHICS_OUT)
        graphics.set_new_layer(self.name)
        text = caption(prediction)
        height, width = frame.shape[:2]
        style = _text_style(text, prediction, width, height)
        graphics.add_text(text, 0.02 * width, 0.02 * height + style.font_size, style)
        self._annotations = [Annotation.of(prediction)]

    def _show_objects(self, regions, predictions, width, height):
        output = self.get_output(OBJECTS_OUT)
        output.init(self.name, IMAGE)
        for region, prediction in zip(regions, predictions, strict=True):
            box = [float(value) for value in region.box_xywh]
            color = list(color_of(prediction.index))
            output.add_object(region.object_id, prediction.answer, prediction.confidence, *box, color)
        texts = (item for item in output.get_graphics_io().get_items() if item.is_text_item())
        for item, prediction in zip(texts, predictions, strict=True):
            item.text = caption(prediction)
            item.property = _text_style(item.text, prediction, width, height)
        self._annotations = [
            Annotation.of(prediction, region.box_xywh) for region, prediction in zip(regions, predictions, strict=True)
        ]


def _item(item):
    """A graphics item of the host, freed from it."""
    kind = item.get_type().name
    return GraphicsItem(kind, tuple(item.get_bounding_rect()), item.text if kind == "TEXT" else "")


def _text_style(text, prediction, width, height):
    style = core.GraphicsTextProperty()
    style.color = list(color_of(prediction.index))
    style.font_size = host_font_size(text, width, height)
    style.bold = True
    return style


class InferResNeXtParamFactory(ParamFactory):
    """Of this task's parameters."""

    def __init__(self):
        super().__init__(NAME, InferResNeXtParam)


class InferResNeXtFactory(TaskFactory):
    """Creates the task and describes it to the HUB."""

    def __init__(self):
        super().__init__(NAME, __version__, InferResNeXt)
        self.info.short_description = "Classify images, or the objects a detector found, with ResNeXt."
        self.info.description = (
            "Image classification with ResNeXt-50 and ResNeXt-101: torchvision's ImageNet weights or a model "
            "trained with train_torchvision_resnext. Classifies the whole image or every object, on GPU or CPU."
        )
        self.info.keywords = "resnext,classification,imagenet,torchvision,cardinality"
        self.info.algo_type = core.AlgoType.INFER
        # Measured: 1.5 GB at most, with resnext101_64x4d in fp32 on two cores and a frame of 1920 x 1080.
        self.info.hardware_config.min_ram = 2
