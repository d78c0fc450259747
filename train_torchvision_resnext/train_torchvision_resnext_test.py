"""The HUB's own check: a folder of images in, a model folder out."""

import json
import logging
import tempfile
from pathlib import Path

from ikomia.utils.tests import run_for_test

logger = logging.getLogger(__name__)


def test(t, data_dict):
    """Train a small network for an epoch on the HUB's dataset; returns what `run_for_test` does."""
    logger.info("===== Test::%s =====", t.name)
    dataset = Path(data_dict["datasets"]["classification"]["dataset_classification"])
    t.get_input(0).set_path(str(dataset))
    with tempfile.TemporaryDirectory() as output:
        t.set_parameters(
            {
                "weights": "none",
                "layers": "1,1,1,1",
                "cardinality": 4,
                "bottleneck_width": 4,
                "input_size": 32,
                "batch_size": 4,
                "epochs": 1,
                "output_folder": output,
            }
        )
        parameters, status = run_for_test(t)
        assert status == "OK", status

        model = Path(t.get_output(0).get_path())
        results = t.get_output(1).data
        assert results["model_folder"] == str(model)
        assert not results["stopped"]
        assert len(results["history"]) == 1
        labels = sorted(folder.name for folder in (dataset / "train").iterdir() if folder.is_dir())
        assert json.loads((model / "config.json").read_text(encoding="utf-8"))["label_names"] == labels
        assert (model / "model.safetensors").stat().st_size > 0
    return parameters, status
