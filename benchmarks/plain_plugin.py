"""What most would write: a plugin that squashes with OpenCV and runs eager PyTorch in fp32, object by object."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from ikomia import dataprocess

from infer_torchvision_resnext.resnext.machine.threads import fixed_threads


class PlainPlugin(dataprocess.CClassificationTask):
    """Classifies the whole image, or every object that came in, one after the other.

    Args:
        all_threads: keep Ikomia from having OpenMP choose the number of threads by the machine's load, which leaves
            torch one of two cores as soon as there is any.
    """

    def __init__(
        self, model_name: str, weights: Path, labels: list[str], *, all_threads: bool = False, device: str = "cpu"
    ) -> None:
        dataprocess.CClassificationTask.__init__(self, "plain_plugin")
        self.model_name, self.weights, self.labels, self.device = model_name, weights, labels, device
        self.threads = fixed_threads if all_threads else contextlib.nullcontext
        self.network: Any = None

    def run(self) -> None:
        import torch
        from torchvision.models import get_model

        self.begin_task_run()
        if self.network is None:
            self.network = get_model(self.model_name)
            self.network.load_state_dict(torch.load(self.weights, weights_only=True))
            self.network.eval().to(self.device)
            self.set_names(self.labels)
        frame = self.get_input(0).get_image()
        if self.is_whole_image_classification():
            probabilities = self.classify(frame)
            order = np.argsort(-probabilities)
            names = [self.labels[index] for index in order]
            self.set_whole_image_results(names, [str(probabilities[index]) for index in order])
        else:
            for item in self.get_input_objects():
                part = self.get_object_sub_image(item)
                if part is not None:
                    probabilities = self.classify(part)
                    index = int(probabilities.argmax())
                    self.add_object(item, index, float(probabilities[index]))
        self.end_task_run()

    def classify(self, image: np.ndarray) -> np.ndarray:
        import cv2
        import torch
        from torchvision.transforms import functional

        small = cv2.resize(image, (224, 224))
        pixels = functional.normalize(functional.to_tensor(small), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        with torch.no_grad(), self.threads():
            return self.network(pixels[None].to(self.device)).softmax(1)[0].cpu().numpy()


class Detector(dataprocess.C2dImageTask):
    """Finds the boxes that it is told to find."""

    def __init__(self, boxes: list[tuple[float, float, float, float]]) -> None:
        dataprocess.C2dImageTask.__init__(self, "detector")
        self.boxes = boxes
        self.add_output(dataprocess.CObjectDetectionIO())

    def run(self) -> None:
        self.begin_task_run()
        self.forward_input_image(0, 0)
        output = self.get_output(1)
        output.init("detector", 0)
        for index, box in enumerate(self.boxes):
            output.add_object(index, "thing", 0.9, *box, [255, 0, 0])
        self.end_task_run()
