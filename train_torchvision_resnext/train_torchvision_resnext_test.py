"""The HUB's own check: a short training on the dataset that the HUB brings."""

import tempfile

from ikomia.utils.tests import run_for_test


def test(t, data_dict):
    """Train a small network for an epoch.

    Args:
        t: the task.
        data_dict: the HUB's data; of it, the folder of the classification dataset.

    Returns:
        The parameters and "OK", or a traceback.
    """
    t.get_input(0).set_path(data_dict["datasets"]["classification"]["dataset_classification"])
    with tempfile.TemporaryDirectory() as output_folder:
        t.set_parameters(
            {
                "weights": "none",
                "layers": "1,1,1,1",
                "cardinality": 4,
                "bottleneck_width": 4,
                "input_size": 32,
                "epochs": 1,
                "output_folder": output_folder,
            }
        )
        return run_for_test(t)
