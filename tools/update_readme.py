"""Write what derives from the code into the READMEs, between their marks: tables of parameters, an example output."""

import json
from pathlib import Path
from typing import Any

from infer_torchvision_resnext.parameters import Parameters as InferParameters
from train_torchvision_resnext.parameters.task import Parameters as TrainParameters

REPOSITORY = Path(__file__).parents[1]
INFER_README = REPOSITORY / "infer_torchvision_resnext" / "README.md"
TRAIN_README = REPOSITORY / "train_torchvision_resnext" / "README.md"


def between(text: str, mark: str, content: str) -> str:
    """The text with everything between `<!-- mark -->` and `<!-- end of mark -->` replaced."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the marks {begin} and {end} are missing")
    return f"{before}{begin}\n{content}\n{end}{after}"


def with_tables(text: str) -> str:
    """The README of the inference plugin with its table as the schema has it."""
    return between(text, "parameters of infer_torchvision_resnext", InferParameters.markdown_table())


def with_training_table(text: str) -> str:
    """The README of the training plugin with its table as the schema has it."""
    return between(text, "parameters of train_torchvision_resnext", TrainParameters.markdown_table())


def example_output() -> dict[str, Any]:
    """Output 4 of a real run on the first held-out digit."""
    from ikomia.dataprocess.workflow import Workflow

    from examples.digits import training_and_held_out

    workflow = Workflow("example")
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    folder = REPOSITORY / "examples" / "models" / "digits"
    task.set_parameters({"weights": str(folder), "top_k": 2, "device": "cpu", "precision": "fp32"})
    for _ in range(2):  # the second without what only a first run pays for
        workflow.run_on(array=training_and_held_out()[1].images[0])
    output = json.loads(task.get_output(4).to_json())
    output["model"]["weights"] = str(folder.relative_to(REPOSITORY).as_posix())
    return _rounded(output)


def _rounded(value: Any) -> Any:
    """Figures as a reader wants them."""
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return value


def main() -> None:
    from examples.ikomia_home import use_own_home

    use_own_home()
    TRAIN_README.write_text(with_training_table(TRAIN_README.read_text(encoding="utf-8")), encoding="utf-8")
    text = with_tables(INFER_README.read_text(encoding="utf-8"))
    example = f"```json\n{json.dumps(example_output(), indent=2)}\n```"
    INFER_README.write_text(between(text, "example output", example), encoding="utf-8")


if __name__ == "__main__":
    main()
