"""A form without any toolkit: what appears where, what has an effect, what keeps it from being applied."""

import importlib
from typing import Annotated, Literal

import pytest
from pydantic import Field

from infer_torchvision_resnext.resnext.host.form import REST, Form, InForm, When
from infer_torchvision_resnext.resnext.host.schema import ParameterError, ParameterSchema
from infer_torchvision_resnext.resnext.machine.devices import gpu_is_there


class Oven(ParameterSchema):
    heat: Annotated[
        int, Field(ge=0, le=300, title="Heat", description="In degrees."), InForm(first=True, minimum_means="cold")
    ] = 180
    fan: Annotated[
        bool,
        Field(title="Fan", description="Moves the air."),
        InForm(group="Air", idle=(When("it is cold", heat="0"),)),
    ] = False
    rack: Annotated[
        Literal["low", "high"],
        Field(title="Rack", description="Where."),
        InForm(group="Air", ruled_out={"high": When("the fan is in the way", fan="True", heat=r"[1-9]\d*")}),
    ] = "low"
    recipe: Annotated[
        str, Field(title="Recipe", description="A file."), InForm(suggestions=("none",), picker="file")
    ] = "none"
    book: Annotated[str, Field(title="Book", description="A folder."), InForm(picker="folder")] = ""
    output: Annotated[str, Field(title="Output", description="Made."), InForm(picker="new folder")] = ""
    weight: Annotated[float, Field(ge=0, le=5, title="Weight", description="In kg.")] = 1.5
    serial: Annotated[int, Field(ge=0, le=2**40, title="Serial", description="A number.")] = 0
    free_note: str = ""


def read(values):
    oven = Oven.from_strings(values)
    if oven.fan and oven.weight > 4:
        raise ParameterError(["fan = True and weight = 5 contradict each other"])
    return oven


@pytest.fixture
def form():
    return Form(Oven, read)


def test_fields_say_what_the_schema_says(form):
    heat = form.fields["heat"]
    assert (heat.title, heat.kind, heat.low, heat.high) == ("Heat", "integer", 0, 300)
    assert heat.help == "In degrees. Allowed: an integer from 0 to 300."
    assert [form.fields[key].kind for key in ("fan", "rack", "recipe", "weight")] == [
        "switch",
        "choice",
        "text",
        "number",
    ]
    assert form.fields["rack"].choices == ("low", "high")
    assert form.fields["free_note"].title == "Free note"


def test_integers_that_toolkits_cannot_count_are_typed(form):
    assert form.fields["serial"].kind == "text"


def test_first_fields_stand_alone_and_fields_that_say_nothing_come_last(form):
    assert [one.key for one in form.first] == ["heat"]
    groups = {group: [one.key for one in fields] for group, fields in form.advanced.items()}
    assert groups == {"Air": ["fan", "rack"], REST: ["recipe", "book", "output", "weight", "serial", "free_note"]}
    assert list(groups)[-1] == REST


def test_a_field_is_idle_while_a_condition_holds(form):
    assert form.idle(form.defaults()) == {}
    assert form.idle({**form.defaults(), "heat": "0"}) == {"fan": "it is cold"}


def test_a_choice_is_ruled_out_while_all_of_its_condition_holds(form):
    values = form.defaults() | {"rack": "high", "fan": "True"}
    assert form.ruled_out("rack", values) == {"high": "the fan is in the way"}
    assert form.ruled_out("rack", {**values, "heat": "0"}) == {}
    (problem,) = form.problems(values)
    assert (problem.keys, problem.sentence) == (("rack",), "Rack: the fan is in the way")


def test_all_problems_come_at_once_in_the_words_of_the_form(form, tmp_path):
    values = form.defaults() | {"heat": "1000", "weight": "heavy", "recipe": str(tmp_path / "no: 'such' = file")}
    problems = form.problems(values)
    assert [problem.sentence for problem in problems] == [
        "Heat: must be an integer from 0 to 300",
        "Weight: must be a number from 0 to 5",
        f"Recipe: there is no such file: {values['recipe']}",
    ]
    assert [problem.keys for problem in problems] == [("heat",), ("weight",), ("recipe",)]


def test_a_contradiction_is_about_every_field_it_names(form):
    (problem,) = form.problems(form.defaults() | {"fan": "True", "weight": "5"})
    assert problem.keys == ("fan", "weight")
    assert problem.sentence == "fan = True and weight = 5 contradict each other"


def test_paths_must_be_what_can_be_picked(form, tmp_path):
    file = tmp_path / "file"
    file.touch()
    right = form.defaults() | {"recipe": str(file), "book": str(tmp_path), "output": str(tmp_path / "new" / "folder")}
    assert form.problems(right) == []
    wrong = form.defaults() | {"recipe": str(tmp_path), "book": str(file), "output": str(file / "folder")}
    assert [problem.keys for problem in form.problems(wrong)] == [("recipe",), ("book",), ("output",)]


def test_a_path_without_effect_need_not_exist():
    class Schema(ParameterSchema):
        source: str = "own"
        path: Annotated[str, Field(title="Path"), InForm(picker="file", idle=(When("", source="none"),))] = ""

    form = Form(Schema, Schema.from_strings)
    assert form.problems({"source": "own", "path": "/nowhere"})
    assert not form.problems({"source": "none", "path": "/nowhere"})


@pytest.mark.parametrize("plugin", ["infer_torchvision_resnext", "train_torchvision_resnext"])
def test_the_forms_of_both_plugins_hold_every_parameter_once(plugin):
    parameters = importlib.import_module(f"{plugin}.parameters")
    form = importlib.import_module(f"{plugin}.resnext.host.form").Form(parameters.Parameters, parameters.read_host_map)
    shown = [one.key for one in form.first] + [one.key for fields in form.advanced.values() for one in fields]
    assert sorted(shown) == sorted(parameters.Parameters.keys())
    assert len(form.first) == 5
    assert form.problems(form.defaults()) == []


@pytest.mark.parametrize("plugin", ["infer_torchvision_resnext", "train_torchvision_resnext"])
@pytest.mark.parametrize(
    ("device", "gpu", "reason"),
    [
        ("auto", True, {}),
        ("auto", False, {"fp16": "fp16 needs a GPU"}),
        ("cpu", True, {"fp16": "fp16 needs a GPU"}),
        # Meant for another machine.
        ("cuda", False, {}),
    ],
)
def test_fp16_is_ruled_out_where_the_network_would_run_on_a_cpu(plugin, device, gpu, reason):
    parameters = importlib.import_module(f"{plugin}.parameters")
    form = importlib.import_module(f"{plugin}.resnext.host.form").Form(
        parameters.Parameters, parameters.read_host_map, gpu
    )
    ruled_out = form.ruled_out("precision", {**form.defaults(), "weights": "own", "device": device})
    assert {"fp16": ruled_out["fp16"]} == reason if reason else "fp16" not in ruled_out


def test_the_inferences_form_says_what_its_precision_and_runtime_need():
    parameters = importlib.import_module("infer_torchvision_resnext.parameters.task")
    form = Form(parameters.Parameters, parameters.read_host_map)
    assert "int8 needs a model folder" in form.ruled_out("precision", form.defaults())["int8"]
    assert "int8" not in form.ruled_out("precision", {**form.defaults(), "weights": "models/own"})
    chosen = {**form.defaults(), "runtime": "torch", "precision": "fp32"}
    assert form.idle(chosen)["guard_tolerance"] == "nothing is chosen by auto"
    assert "guard_tolerance" not in form.idle({**chosen, "precision": "auto"})
    assert [one.key for one in form.advanced["Device"]] == [
        "device",
        "runtime",
        "precision",
        "guard_tolerance",
        "threads",
    ]
    assert REST not in form.advanced


def test_a_gpu_is_told_by_its_driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_is_there(amd=tmp_path, nvidia=())
    assert not gpu_is_there(amd=tmp_path / "none", nvidia=("libnone.so.1",))
    # A library that is there, but no driver.
    with pytest.raises(AttributeError):
        gpu_is_there(amd=tmp_path / "none", nvidia=("libm.so.6",))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not gpu_is_there(amd=tmp_path, nvidia=())
