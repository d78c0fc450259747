import pytest

from infer_torchvision_resnext.parameters.task import Parameters, read_host_map
from infer_torchvision_resnext.resnext.host.schema import ParameterError


def test_the_defaults_are_the_documented_ones():
    assert Parameters().to_strings() == {
        "model_name": "resnext50",
        "weights": "DEFAULT",
        "class_file": "",
        "input_size": "0",
        "top_k": "5",
        "confidence_threshold": "0",
        "calibrated": "True",
        "unknown_sensitivity": "0.01",
        "target_precision": "0",
        "target_precision_per_class": "False",
        "coverage": "0",
        "decide_by": "auto",
        "embeddings": "False",
        "maps": "False",
        "map_class": "",
        "drift_window": "0",
        "region": "auto",
        "value_range": "auto",
        "object_margin": "0",
        "track": "0",
        "batch_size": "32",
        "device": "auto",
        "runtime": "auto",
        "precision": "auto",
        "guard_tolerance": "0.02",
        "threads": "0",
    }


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"model_name": "resnet18"},
            "model_name = 'resnet18': 'resnet18' is not a member of the family: expected resnext<d",
        ),
        (
            {"model_name": "resnext26_8x16d", "weights": "DEFAULT"},
            "weights = 'DEFAULT': torchvision publishes none for resnext26_8x16d: set the path of your own",
        ),
        ({"weights": ""}, "weights = '': must be DEFAULT, IMAGENET1K_V1"),
        (
            {"weights": "IMAGENET1K_V3"},
            "weights = 'IMAGENET1K_V3': must be DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, or the path",
        ),
        (
            {"model_name": "resnext101_64x4d", "weights": "IMAGENET1K_V2"},
            "torchvision publishes IMAGENET1K_V1 for resnext101_64x4d; set that, or DEFAULT",
        ),
        ({"input_size": "-1"}, "input_size = '-1': must be an integer from 0 to 4096"),
        ({"top_k": "2.5"}, "top_k = '2.5': must be an integer from 0"),
        ({"confidence_threshold": "93"}, "confidence_threshold = '93': must be a number from 0 to 1"),
        ({"region": "frame"}, "region = 'frame': must be one of auto, image, objects"),
        ({"object_margin": "-0.1"}, "object_margin = '-0.1': must be a number from 0 to 10"),
        ({"batch_size": "0"}, "batch_size = '0': must be an integer from 1 to 4096"),
        ({"device": "gpu"}, "device = 'gpu': must be auto, cpu, cuda or cuda:N"),
        ({"precision": "int4"}, "precision = 'int4': must be one of auto, fp32, bf16, fp16, int8"),
        ({"runtime": "tensorrt"}, "runtime = 'tensorrt': must be one of auto, torch, "),
        ({"guard_tolerance": "2"}, "guard_tolerance = '2': must be a number from 0 to 1"),
        ({"threads": "-1"}, "threads = '-1': must be an integer from 0 to 1024"),
        ({"confidence": "0.5"}, "'confidence' is not a parameter: did you mean 'confidence_threshold'?"),
    ],
)
def test_a_refusal_names_field_value_and_what_is_allowed(values, problem):
    with pytest.raises(ParameterError, match=problem.replace("?", r"\?")):
        read_host_map(values)


def test_all_fields_can_be_wrong_at_once():
    wrong = dict.fromkeys(Parameters.model_fields, "?!")
    wrong |= {"weights": "", "class_file": ""}
    with pytest.raises(ParameterError) as caught:
        read_host_map(wrong)
    # A file of labels is looked for when it is needed; whose label it is that `map_class` names, the model says.
    later = ("class_file", "map_class")
    assert [problem.split()[0] for problem in caught.value.problems] == [
        key for key in Parameters.model_fields if key not in later
    ]


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_resnets_have_published_weights_too(name):
    for weights in ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2"):
        assert read_host_map({"model_name": name, "weights": weights}).weights == weights


def test_any_member_of_the_family_can_be_a_bare_file():
    assert read_host_map({"model_name": "resnext29_8x64d", "weights": "own.pth"}).model_name == "resnext29_8x64d"


def test_paths_of_models_pass():
    for path in ("models/ants", "/a/b.pth", r"C:\models\x.safetensors", "./MODELS", "MODELS", "2026", "V2"):
        assert read_host_map({"weights": path}).weights == path


@pytest.mark.parametrize(
    ("old", "meant"),
    [
        (
            {"dataset": "ImageNet", "model_path": "", "class_file": "/gone/imagenet_classes.txt", "input_size": "224"},
            Parameters(weights="IMAGENET1K_V1", input_size=224, top_k=0),
        ),
        (
            {"dataset": "Custom", "model_path": "m.pth", "class_file": "c.txt", "model_name": "resnext101"},
            Parameters(weights="m.pth", class_file="c.txt", model_name="resnext101", top_k=0),
        ),
        ({"dataset": "", "model_path": "m.pth", "top_k": "3"}, Parameters(weights="m.pth", top_k=3)),
        ({"dataset": "", "model_path": "", "weights": "m"}, Parameters(weights="m")),
    ],
)
def test_the_earlier_plugins_keys_mean_what_they_meant(old, meant):
    assert read_host_map(old) == meant
    assert read_host_map({**Parameters().to_strings(), **old}) == meant


@pytest.mark.parametrize(
    ("old", "problem"),
    [
        ({"dataset": "COCO"}, "dataset = 'COCO': must be one of ImageNet, Custom"),
        ({"dataset": "Custom"}, "model_path = '': dataset=Custom needs the path of a state dict"),
        ({"dataset": "ImageNet", "weights": "m.pth"}, "weights = 'm.pth' and dataset = 'ImageNet' contradict"),
        ({"model_path": "a.pth", "weights": "m.pth"}, "weights = 'm.pth' and model_path = 'a.pth' contradict"),
        (
            {"dataset": "ImageNet", "model_weight_file": "m.pth"},
            "model_weight_file = 'm.pth' and dataset = 'ImageNet' contradict each other: set model_weight_file only",
        ),
    ],
)
def test_old_keys_that_say_nothing_clear_are_refused(old, problem):
    with pytest.raises(ParameterError, match=problem):
        read_host_map(old)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"model_weight_file": "m.pth"}, {"weights": "m.pth"}),
        ({"model_weight_file": "m.pth", "dataset": "Custom"}, {"weights": "m.pth", "top_k": 0}),
        ({"model_weight_file": ""}, {}),
        ({"cuda": "True"}, {"device": "auto"}),
        ({"cuda": False}, {"device": "cpu"}),
    ],
)
def test_keys_of_other_plugins_that_mean_the_same_are_taken(theirs, ours):
    assert read_host_map(theirs) == Parameters(**ours)
    assert read_host_map({**Parameters().to_strings(), **theirs}) == Parameters(**ours)


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        (
            {"conf_thres": "0.5"},
            "'conf_thres' is not a parameter: did you mean 'confidence_threshold'? Answers below it",
        ),
        ({"cuda": "1.5"}, "cuda = '1.5': must be one of True, False; or set device"),
        ({"cuda": "False", "device": "cuda"}, "device = 'cuda' and cuda = 'False' contradict each other: set device"),
        (
            {"model_weight_file": "a.pth", "weights": "b.pth"},
            "weights = 'b.pth' and model_weight_file = 'a.pth' contradict each other: set weights only",
        ),
    ],
)
def test_keys_of_other_plugins_that_mean_something_else_lead_to_ours(theirs, problem):
    with pytest.raises(ParameterError) as caught:
        read_host_map(theirs)
    (told,) = caught.value.problems
    assert told.startswith(problem)


def test_a_path_alone_names_no_other_key():
    with pytest.raises(ParameterError) as caught:
        read_host_map({"model_path": "a.pth", "top_k": "x"})
    assert caught.value.problems == ("top_k = 'x': must be an integer from 0 to 100000",)
