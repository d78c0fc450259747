"""What the inference task puts out, read as a program would."""

import json

NAME = "infer_torchvision_resnext"


def result(task):
    """Output 4."""
    return json.loads(task.get_output(4).to_json())


def table(prediction):
    """Label → probability."""
    return {row["label"]: row["probability"] for row in prediction["top_k"]}
