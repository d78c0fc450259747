"""Workflow files of the HUB's earlier plugins."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_old_workflow(
    path: Path, name: str, parameters: dict[str, str], inputs: Sequence[str], outputs: Sequence[str] = ()
) -> str:
    """A workflow of one task as STUDIO saves it, written from the earlier plugin's documented keys.

    Args:
        inputs: the host's names of the task's inputs, for example `IMAGE`.
        outputs: likewise.

    Returns:
        The path, as the host wants it.
    """
    task = {
        "task_id": 0,
        "task_data": {
            "name": name,
            "language": 1,
            "inputs": [{"name": f"IODataType.{kind}"} for kind in inputs],
            "outputs": [{"name": f"IODataType.{kind}"} for kind in outputs],
            "parameters": [{"name": name, "value": value} for name, value in parameters.items()],
        },
    }
    edge = {"source_id": -1, "source_index": 0, "target_id": 0, "target_index": 0}
    content = {"metadata": {"name": "old"}, "tasks": [task], "connections": [edge]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)
