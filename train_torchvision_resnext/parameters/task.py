"""What can be set on the training task: the network and the recipe, and here the images, the device and the results."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ..resnext.host.fields import MAX_DROP, RANGES, Device, Range, Threads
from ..resnext.host.form import InForm, When
from ..resnext.images.rgb import ValueRange
from .network import NetworkParameters
from .recipe import RecipeParameters


# pydantic takes the fields of the last base first.
class Parameters(RecipeParameters, NetworkParameters):
    """Parameters of `train_torchvision_resnext`."""

    val_fraction: Annotated[float, Field(title="Validation fraction", ge=0.01, le=0.9), InForm(group="Dataset")] = 0.2
    """Share of each class set aside for validation where the folder has no validation part."""
    max_broken: Annotated[float, Field(title="Broken images", ge=0, le=1), InForm(group="Dataset")] = 0.1
    """Largest share of unreadable images with which training begins."""
    value_range: Annotated[Range, InForm(group="Dataset", suggestions=RANGES)] = "auto"
    """Which values of the images are black and white: by depth, 0 to 255, 0 to 65535 or 0 to 1 (`auto`; or as the
    model folder has it that training starts from), the smallest and largest of each image (`minmax`), or two of your
    own. Kept in the model folder.
    """
    image_cache: Annotated[bool, InForm(group="Dataset")] = True
    """Of large photos copies are kept in the output folder (`.images`, at most 20 GiB, may be deleted): what validation
    sees, as it is; and for augmentation a smaller photo, of which crops differ by less than a level of 255 on average.
    """
    device: Device = "auto"
    """Where the network is trained; `auto` takes the first GPU, if there is one."""
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        InForm(group="Device", ruled_out={"fp16": When("fp16 needs a GPU", device="cpu")}),
    ] = "auto"
    """Number format of the forward and backward pass; weights stay fp32. `auto` is bf16 where the device computes in
    it, else fp16 on a GPU with tensor cores, else fp32. fp16 needs a GPU.
    """
    torch_compile: Annotated[bool, Field(title="Compile"), InForm(group="Device")] = False
    """Steps by PyTorch's compiler, which takes a minute or more to start. On a CPU it needs a C++ compiler."""
    num_workers: Annotated[
        int, Field(title="Workers", ge=-1, le=256), InForm(group="Device", minimum_means="as the device needs")
    ] = -1
    """Processes that load images; 0 = none but the training itself, -1 = as the device needs."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1), InForm(group="Reproducing")] = 0
    """Of the split, the initial weights and the draws."""
    deterministic: Annotated[
        bool, InForm(group="Reproducing", idle=(When("a CPU is reproducible anyway", device="cpu"),))
    ] = False
    """Only reproducible kernels on a GPU, at some cost; a CPU is reproducible anyway."""
    export_pth: Annotated[bool, Field(title="Export .pth"), InForm(group="Export")] = True
    """Also write the bare state dict, `<model_name>.pth`."""
    export_onnx: Annotated[bool, Field(title="Export ONNX"), InForm(group="Export")] = False
    """Also write `model.onnx`, compared with the model before. Needs the package onnxruntime."""
    quantize: Annotated[bool, Field(title="Quantize to int8"), InForm(group="Export")] = False
    """Also write an int8 network, which inference runs with `precision=int8`: calibrated on up to 300 training
    images, kept within `quantize_max_drop`. Needs the packages nncf and openvino.
    """
    quantize_max_drop: Annotated[
        float,
        Field(title="Largest drop", ge=0, le=1),
        InForm(group="Export", idle=(When("nothing is quantized", quantize="False"),)),
    ] = MAX_DROP
    """How much worse the int8 network may be on the validation images, as a fraction: its accuracy lower, its
    calibration error or the share of `unknown` higher. 0.01 is one point of a hundred. Beyond it, it is not kept.
    """
    output_folder: Annotated[
        str,
        Field(json_schema_extra={"allowed": "the path of a folder; it is made if need be"}),
        InForm(first=True, picker="new folder"),
    ] = "~/Ikomia/Training/resnext"
    """Each run makes a folder in it, with the model folder `model/` within."""
    resume: Annotated[
        str,
        Field(json_schema_extra={"allowed": "empty, auto, or the path of a run folder"}),
        InForm(group="Reproducing", suggestions=("", "auto"), picker="folder"),
    ] = ""
    """Go on with an interrupted run: the newest one in the output folder that has these parameters and images
    (`auto`), or a certain one. Empty = start a new run.
    """
    devices: Annotated[
        str,
        Field(pattern=r"^(all|[1-9]\d{0,2})$", json_schema_extra={"allowed": "all, or an integer from 1 to 999"}),
        InForm(group="Device", suggestions=("1", "all")),
    ] = "1"
    """How many share each batch, a process each: GPUs (`all` = every one), or on a CPU processes that share its cores.
    Their number does not change what is learned.
    """
    threads: Threads = 0
    """Threads of the steps on a CPU, of all devices together; 0 = the machine's cores."""

    @field_validator("output_folder")
    @classmethod
    def _output_folder_is_given(cls, value: str) -> str:
        if not value:
            raise ValueError("must not be empty")
        return value

    @property
    def range_of_values(self) -> ValueRange:
        """`value_range`, read."""
        return ValueRange.parse(self.value_range)

    def contradictions(self) -> list[str]:
        """A sentence for each pair of values that cannot both be meant."""
        problems = super().contradictions()
        if self.batch_size == 1 and not self.feature_extract:
            problems.append("batch_size = 1: batch normalization needs at least 2 images to train")
        if self.best_epoch_by == "expected_cost" and not self.cost_matrix:
            problems.append("best_epoch_by = 'expected_cost': what answers cost is not known; set cost_matrix")
        return problems


def read_host_map(values: Mapping[str, object]) -> Parameters:
    """Parse the host's map; the keys of the HUB's earlier plugin are among ours and mean the same.

    Raises:
        ParameterError: unknown keys, refused values, values that contradict each other.
    """
    return Parameters.from_host(values)
