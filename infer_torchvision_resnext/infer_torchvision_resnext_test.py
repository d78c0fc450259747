"""The HUB's own check: a photo in, an answer out on every output that promises one."""

import logging

import numpy as np
from ikomia.utils.tests import run_for_test
from PIL import Image

logger = logging.getLogger(__name__)


def test(t, data_dict):
    """Classify the HUB's photo with ImageNet weights; returns what `run_for_test` does."""
    logger.info("===== Test::%s =====", t.name)
    with Image.open(data_dict["images"]["detection"]["coco"]) as photo:
        t.get_input(0).set_image(np.asarray(photo.convert("RGB")))
    t.set_parameters({"model_name": "resnext50", "top_k": 3, "region": "image"})
    parameters, status = run_for_test(t)
    assert status == "OK", status

    results = t.get_output(4).data
    assert results["model"]["num_classes"] == 1000
    (prediction,) = results["predictions"]
    listed = [(row["label"], row["probability"]) for row in prediction["top_k"]]
    assert len(listed) == 3
    assert listed == sorted(listed, key=lambda row: -row[1]), "best first"
    assert 0 < sum(probability for _, probability in listed) <= 1
    assert prediction["answer"] == listed[0][0]
    assert [label for label, _ in t.get_whole_image_results()] == [label for label, _ in listed]
    assert t.get_image_with_graphics().dtype == np.uint8
    return parameters, status
