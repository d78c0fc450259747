"""Write what derives from the code into the documentation, between marks: parameters, models, an example output."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision.models import get_model_weights

from infer_torchvision_resnext.parameters.task import Parameters as InferParameters
from infer_torchvision_resnext.resnext.folder.weight_files import PUBLISHED_WEIGHTS
from infer_torchvision_resnext.resnext.host.form import InForm as InferInForm
from infer_torchvision_resnext.resnext.network.architecture import ALIASES
from train_torchvision_resnext.parameters.task import Parameters as TrainParameters
from train_torchvision_resnext.resnext.host.form import InForm as TrainInForm

Schema = type[InferParameters] | type[TrainParameters]

REPOSITORY = Path(__file__).parents[1]
INFER, TRAIN = "infer_torchvision_resnext", "train_torchvision_resnext"
INFER_REFERENCE = REPOSITORY / "docs" / "reference-inference.md"
EXAMPLE_IMAGE = REPOSITORY / "examples" / "seven.png"
"""The first held-out digit, which the examples of the documentation classify."""

MAIN = "Main parameters"
"""Heading of the parameters that the form shows first."""


def between(text: str, mark: str, content: str) -> str:
    """The text with everything between `<!-- mark -->` and `<!-- end of mark -->` replaced."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(begin)
    _, end_mark, after = rest.partition(end)
    if not end_mark:
        raise ValueError(f"the marks {begin} and {end} are missing")
    return f"{before}{begin}\n{content}\n{end}{after}"


def parameter_groups(schema: Schema) -> dict[str, list[str]]:
    """Keys under the headings that the form has, in the order of the schema; the main ones first."""
    groups: dict[str, list[str]] = {MAIN: []}
    for key, field in schema.model_fields.items():
        place = next((extra for extra in field.metadata if isinstance(extra, InferInForm | TrainInForm)), InferInForm())
        groups.setdefault(MAIN if place.first else place.group, []).append(key)
    return groups


def parameter_lists(schema: Schema) -> str:
    """One heading and one list per group: each parameter with its default, allowed values and meaning."""
    return "\n\n".join(
        f"### {heading}\n\n" + "\n".join(f"- {_entry(schema, key)}" for key in keys)
        for heading, keys in parameter_groups(schema).items()
    )


def main_parameters(schema: Schema) -> str:
    """A list of the parameters that the form shows first, each with its default and the first sentence of its help."""
    defaults = schema().to_strings()
    return "\n".join(
        f"- **`{key}`** (`{defaults[key]}`): {schema.meaning(key).partition('. ')[0].removesuffix('.')}."
        for key in parameter_groups(schema)[MAIN]
    )


def _entry(schema: Schema, key: str) -> str:
    """A parameter with its default, what it may be (a switch needs no such words) and its meaning."""
    default = schema().to_strings()[key]
    allowed = schema.allowed(key).replace("an integer from ", "integer, ").replace("a number from ", "")
    values = f"`{default}`" if default else "empty"
    if default not in ("True", "False"):
        values = f"{values}; {allowed}"
    return f"**`{key}`** ({values}): {schema.meaning(key)}"


def model_table(names: Iterable[str] = PUBLISHED_WEIGHTS) -> str:
    """The models with published weights, with the figures that torchvision states for them."""
    rows = [
        "| model_name | layers | parameters, millions | GFLOPs | file, MB | top-1 of V1, % | top-1 of V2, % |",
        "|---|---|---|---|---|---|---|",
    ]
    alias_of = {name: alias for alias, name in ALIASES.items()}
    for name in names:
        versions = {weights.name: weights.meta for weights in get_model_weights(name)}
        best = list(versions.values())[-1]
        top1 = [
            f"{versions[version]['_metrics']['ImageNet-1K']['acc@1']:.1f}" if version in versions else "not published"
            for version in ("IMAGENET1K_V1", "IMAGENET1K_V2")
        ]
        layers = name.partition("_")[0].removeprefix("resnext").removeprefix("resnet")
        figures = (layers, f"{best['num_params'] / 1e6:.1f}", f"{best['_ops']:.1f}", f"{best['_file_size']:.0f}", *top1)
        rows.append(f"| {' | '.join((f'`{alias_of.get(name, name)}`', *figures))} |")
    return "\n".join(rows)


INFER_MAIN = {f"main parameters of {INFER}": lambda: main_parameters(InferParameters)}
TRAIN_MAIN = {f"main parameters of {TRAIN}": lambda: main_parameters(TrainParameters)}
GENERATED: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"models": model_table},
    "docs/choose-a-model.md": {"models": model_table},
    f"{INFER}/README.md": INFER_MAIN,
    f"{TRAIN}/README.md": TRAIN_MAIN,
    "examples/colab/HOWTO_run_ResNeXt_with_Ikomia_API.ipynb": INFER_MAIN,
    "examples/colab/HOWTO_train_ResNeXt_with_Ikomia_API.ipynb": TRAIN_MAIN,
    "docs/reference-inference.md": {f"parameters of {INFER}": lambda: parameter_lists(InferParameters)},
    "docs/reference-training.md": {f"parameters of {TRAIN}": lambda: parameter_lists(TrainParameters)},
}
"""What stands between which marks of which document."""


def write_example_image() -> None:
    """Write the first held-out digit, 8 x 8 pixels."""
    from examples.digits import training_and_held_out

    Image.fromarray(training_and_held_out()[1].images[0]).save(EXAMPLE_IMAGE)


def with_generated_parts(document: str, text: str) -> str:
    """The text of a document of `GENERATED` with its generated parts as the code has them now."""
    for mark, content in GENERATED[document].items():
        change = between_in_a_cell if document.endswith(".ipynb") else between
        text = change(text, mark, content())
    return text


def between_in_a_cell(text: str, mark: str, content: str) -> str:
    """A notebook with everything between the marks replaced, in the one cell that has them."""
    notebook = json.loads(text)
    (cell,) = (cell for cell in notebook["cells"] if f"<!-- {mark} -->" in "".join(cell["source"]))
    cell["source"] = between("".join(cell["source"]), mark, content).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def example_output() -> dict[str, Any]:
    """Output 4 of a real run on the first held-out digit."""
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("example")
    task = workflow.add_task(name="infer_torchvision_resnext", auto_connect=True)
    folder = REPOSITORY / "examples" / "models" / "digits"
    task.set_parameters({"weights": str(folder), "top_k": 2, "device": "cpu", "precision": "fp32"})
    for _ in range(2):  # the second without what only a first run pays for
        workflow.run_on(path=str(EXAMPLE_IMAGE))
    output = json.loads(task.get_output(4).to_json())
    output["file"] = EXAMPLE_IMAGE.relative_to(REPOSITORY).as_posix()
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
    write_example_image()
    for document in GENERATED:
        path = REPOSITORY / document
        path.write_text(with_generated_parts(document, path.read_text(encoding="utf-8")), encoding="utf-8")
    example = f"```json\n{json.dumps(example_output(), indent=2)}\n```"
    text = between(INFER_REFERENCE.read_text(encoding="utf-8"), "example output", example)
    INFER_REFERENCE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
