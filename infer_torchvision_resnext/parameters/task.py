"""What can be set on the inference task."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from ..resnext.folder.weight_files import PUBLISHED, SUFFIXES, is_published, published_for
from ..resnext.host.fields import RANGES, Device, ModelName, Range, Threads, weights_in_form
from ..resnext.host.form import InForm, When
from ..resnext.host.other_keys import STANDS_FOR
from ..resnext.host.schema import ParameterSchema
from ..resnext.network.architecture import Architecture
from ..resnext.trust.open_set import SENSITIVITY

FOLDER = rf"(?!(?:{PUBLISHED})$)(?!.*({'|'.join(map(re.escape, SUFFIXES))})$).+"
"""What `weights` looks like where it can only be a model folder."""

NO_OBJECTS = (When("the whole image is classified, no objects", region="image"),)


class Parameters(ParameterSchema):
    """Parameters of `infer_torchvision_resnext`."""

    OLD_KEYS: ClassVar[tuple[str, ...]] = ("dataset", "model_path", "model_weight_file")
    """Keys of earlier plugins that saved workflows hold. Empty in what we write, unless they are refused."""
    STANDS_FOR: ClassVar[Mapping[str, str]] = {**STANDS_FOR, "dataset": "weights", "model_path": "weights"}

    model_name: Annotated[
        ModelName,
        Field(
            json_schema_extra={
                "allowed": "resnext50, resnext101, resnext101_64x4d, resnet50, resnet101, resnet152; for weights of "
                "your own any member of the family, such as resnext26_8x16d"
            },
        ),
        InForm(
            first=True,
            suggestions=("resnext50", "resnext101", "resnext101_64x4d", "resnet50", "resnet101", "resnet152"),
            idle=(When("a model folder brings its own architecture", weights=FOLDER),),
        ),
    ] = "resnext50"
    """Architecture of torchvision's weights and of bare weight files; a model folder brings its own. `resnext50` is
    `resnext50_32x4d`, `resnext101` is `resnext101_32x8d`.
    """
    weights: Annotated[
        str,
        Field(
            json_schema_extra={
                "allowed": "DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, or the path of a model folder, a .safetensors or a "
                ".pth state dict"
            }
        ),
        weights_in_form(),
    ] = "DEFAULT"
    """torchvision's ImageNet weights, `DEFAULT` being the best published; or your own model."""
    class_file: Annotated[
        str,
        Field(json_schema_extra={"allowed": "the path of a text file with one label a line"}),
        InForm(
            group="Model",
            picker="file",
            files="Labels (*.txt);;All files (*)",
            idle=(
                When("torchvision's weights bring ImageNet's labels", weights=PUBLISHED),
                When("a model folder brings its own labels", weights=FOLDER),
            ),
        ),
    ] = ""
    """Labels for a bare `.pth` or `.safetensors`, in index order. Left empty, `classes.txt` beside the weights is
    read; without that, 1000 classes are taken to be ImageNet's.
    """
    input_size: Annotated[int, Field(ge=0, le=4096), InForm(group="Model", minimum_means="the model's own")] = 0
    """Side of the square that the network sees, in pixels; 0 = what the model was made for."""
    top_k: Annotated[int, Field(ge=0, le=100_000), InForm(first=True, minimum_means="all")] = 5
    """How many classes are listed; 0 = all of them."""
    confidence_threshold: Annotated[float, Field(ge=0, le=1), InForm(first=True)] = 0.0
    """Below this probability the answer is `unknown`, with the probability still shown."""
    calibrated: Annotated[bool, InForm(group="Trust")] = True
    """Probabilities that hold: of the answers given with 80 %, four in five are right. For models that bring a
    temperature.
    """
    unknown_sensitivity: Annotated[float, Field(ge=0, le=0.5), InForm(group="Trust", minimum_means="off")] = SENSITIVITY
    """Share of known images that may be answered `unknown`: images that resemble the training images less than this
    share of the validation images. 0 = off. Requires a model with `trust.safetensors`.
    """
    target_precision: Annotated[float, Field(ge=0, le=0.9999), InForm(group="Trust", minimum_means="off")] = 0.0
    """Share of the answers that is correct, with 95 % confidence; less certain answers are `unknown`. A higher value
    never gives more answers. 0 = off. Requires a model with `trust.safetensors`.
    """
    target_precision_per_class: Annotated[
        bool, InForm(group="Trust", idle=(When("no precision is promised", target_precision=r"0(\.0*)?"),))
    ] = False
    """Promise `target_precision` for the answers of each class instead of for all answers together. A class with too
    few validation images is then never answered.
    """
    coverage: Annotated[float, Field(ge=0, le=0.9999), InForm(group="Trust", minimum_means="off")] = 0.0
    """Adds a prediction set to output 4 that contains the true class with this probability, with 95 % confidence.
    0 = off. Requires a model with `trust.safetensors`.
    """
    decide_by: Annotated[Literal["auto", "probability", "cost"], InForm(group="Trust")] = "auto"
    """Which class is the answer: the most probable (`probability`), or the one of least expected cost (`cost`), by the
    cost matrix that the model was trained with; `auto` is by cost where the model brings one.
    """
    embeddings: Annotated[bool, InForm(group="Trust")] = False
    """Output 4 also lists the features that each image or object was classified by, 2048 numbers in the usual
    models: for search and clustering.
    """
    maps: Annotated[bool, InForm(group="Trust")] = False
    """Output 5 and the picture show where the network saw what it answered, in the image or in each object."""
    map_class: Annotated[
        str,
        Field(json_schema_extra={"allowed": "one of the model's labels"}),
        InForm(group="Trust", idle=(When("maps are off", maps="False"),)),
    ] = ""
    """The class whose maps are shown; left empty, that of each answer."""
    drift_window: Annotated[int, Field(ge=0, le=1_000_000), InForm(group="Trust", minimum_means="off")] = 0
    """So many images are compared with the validation images; a note says when they are less like what was learned, or
    more of them are `unknown`. 0 = off. For models that bring evidence.
    """
    region: Annotated[Literal["auto", "image", "objects"], InForm(first=True)] = "auto"
    """What is classified: the whole image, every object that came in, or `auto`: objects where a detector is
    connected, the image otherwise.
    """
    value_range: Annotated[Range, InForm(group="Model", suggestions=RANGES)] = "auto"
    """Which values of the image are black and white: those that the model was trained with (`auto`; where it says
    nothing, by depth: 0 to 255, 0 to 65535 or 0 to 1), the smallest and largest of each image (`minmax`), or two of
    your own.
    """
    object_margin: Annotated[float, Field(ge=0, le=10), InForm(group="Objects", idle=NO_OBJECTS)] = 0.0
    """Context shown around each box, on every side, as a fraction of its size."""
    track: Annotated[int, Field(ge=0, le=10_000), InForm(group="Objects", minimum_means="off", idle=NO_OBJECTS)] = 0
    """In videos, one answer for each object over about so many frames, by the id that a tracker upstream gives it;
    0 = off, each frame by itself.
    """
    batch_size: Annotated[int, Field(ge=1, le=4096), InForm(group="Objects", idle=NO_OBJECTS)] = 32
    """Objects per forward pass."""
    device: Device = "auto"
    """Where the network runs; `auto` takes the first GPU, if there is one."""
    runtime: Annotated[
        Literal["auto", "torch", "torch_compile", "openvino", "onnxruntime"],
        InForm(
            group="Device",
            ruled_out={"openvino": When("the plugin runs OpenVINO on the CPU only", device=r"cuda(:\d+)?")},
        ),
    ] = "auto"
    """What computes: `auto` is the fastest that is installed and keeps the answers, OpenVINO on a CPU and torch on a
    GPU. `torch_compile` takes a minute to start, `onnxruntime` takes minutes where TensorRT is installed.
    """
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16", "int8"],
        InForm(
            group="Device",
            ruled_out={
                "fp16": When("fp16 needs a GPU", device="cpu"),
                "int8": When("torchvision's weights are not quantized: int8 needs a model folder", weights=PUBLISHED),
            },
        ),
    ] = "auto"
    """Number format of the forward pass; `auto` is the fastest that keeps the answers: fp16 on a GPU with tensor
    cores, bf16 on a CPU that computes in it, fp32 elsewhere. fp16 needs a GPU, int8 a model folder that was
    quantized.
    """
    guard_tolerance: Annotated[
        float,
        Field(ge=0, le=1),
        InForm(
            group="Device", idle=(When("nothing is chosen by auto", runtime=r"(?!auto$).*", precision=r"(?!auto$).*"),)
        ),
    ] = 0.02
    """Largest change of a probability, against torch in fp32, that a configuration chosen by `auto` may cause on the
    model's golden set; beyond it the next one is taken.
    """
    threads: Threads = 0
    """Threads for the forward pass on a CPU; 0 = the machine's cores."""

    @field_validator("weights")
    @classmethod
    def _published_or_a_path(cls, weights: str, info: ValidationInfo) -> str:
        if not weights:
            raise ValueError(f"must be {cls.allowed('weights')}")
        if not re.fullmatch(PUBLISHED, weights):
            return weights
        if not is_published(weights):
            raise ValueError(f"must be {cls.allowed('weights')}")
        # The model's name is missing here if it was refused itself.
        if model_name := info.data.get("model_name"):
            published = published_for(Architecture.from_name(model_name))
            if not published:
                raise ValueError(f"torchvision publishes none for {model_name}: set the path of your own")
            if weights not in (*published, "DEFAULT"):
                raise ValueError(f"torchvision publishes {', '.join(published)} for {model_name}; set that, or DEFAULT")
        return weights

    @classmethod
    def translate(cls, values: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
        """As the base class does; and `dataset` and `model_path` of the HUB's earlier plugin.

        That plugin knew two cases: `dataset=ImageNet` takes torchvision's first weights, whatever the other keys say;
        `dataset=Custom` takes the state dict at `model_path` with the labels of `class_file`. It listed all classes, so
        `top_k` at its default becomes 0.
        """
        ours, problems = super().translate(values)
        dataset, model_path = (str(ours.pop(key, "")).strip() for key in ("dataset", "model_path"))
        if not dataset and not model_path:
            return ours, problems
        defaults = cls().to_strings()
        if str(ours.get("top_k", defaults["top_k"])) == defaults["top_k"]:
            ours["top_k"] = "0"
        weights, key = str(ours.get("weights", defaults["weights"])), "dataset" if dataset else "model_path"
        if dataset.lower() == "imagenet":
            meant = "IMAGENET1K_V1"
            ours["class_file"] = ""
        elif dataset.lower() not in ("", "custom"):
            return ours, [*problems, f"dataset = {dataset!r}: must be one of ImageNet, Custom"]
        elif model_path:
            meant, key = model_path, "model_path"
        elif weights != defaults["weights"]:
            meant = weights
        else:
            meant = ""
            problems.append(f"model_path = '': dataset={dataset} needs the path of a state dict")
        if weights not in (defaults["weights"], meant):
            theirs = "model_weight_file" if str(values.get("model_weight_file", "")).strip() else "weights"
            problems.append(
                f"{theirs} = {weights!r} and {key} = {str(values[key]).strip()!r} contradict each other: "
                f"set {theirs} only"
            )
        else:
            ours["weights"] = meant
        return ours, problems


def read_host_map(values: Mapping[str, object]) -> Parameters:
    """Parse the host's map, in our keys or in those of other plugins; see `Parameters.translate`.

    Raises:
        ParameterError: unknown keys, refused values, keys that contradict each other.
    """
    return Parameters.from_host(values)
