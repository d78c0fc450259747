import pytest

from train_torchvision_resnext.parameters import Parameters, read_host_map
from train_torchvision_resnext.resnext.host.fields import MAX_DROP
from train_torchvision_resnext.resnext.host.form import Form
from train_torchvision_resnext.resnext.host.schema import ParameterError
from train_torchvision_resnext.resnext.network.architecture import Architecture

OLD_WORKFLOW = {
    "model_name": "resnext101",
    "batch_size": "8",
    "epochs": "15",
    "learning_rate": "0.001",
    "momentum": "0.9",
    "weight_decay": "0.0001",
    "input_size": "224",
    "num_workers": "0",
    "use_pretrained": "True",
    "feature_extract": "1",
    "export_pth": "True",
    "export_onnx": "0",
    "output_folder": "models/",
}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"epochs": "0"}, "epochs = '0': must be an integer from 1 to 100000"),
        ({"epochs": "many"}, "epochs = 'many': must be"),
        ({"learning_rate": "nan"}, "learning_rate = 'nan': must be a number from 0 to 100"),
        ({"optimizer": "adam"}, "optimizer = 'adam': must be one of sgd, adamw"),
        ({"augmentation": "heavy"}, "must be one of none, light, trivial, rand"),
        ({"layers": "1,0,1"}, "layers = '1,0,1': must be one to four integers"),
        ({"layers": "1,1,1,1,1"}, "layers = '1,1,1,1,1': must be one to four integers"),
        ({"device": "gpu"}, "device = 'gpu': must be auto, cpu, cuda or cuda:N"),
        ({"output_folder": ""}, "output_folder = '': must not be empty"),
        ({"lerning_rate": "1"}, "'lerning_rate' is not a parameter: did you mean 'learning_rate'"),
        ({"weights": "none", "feature_extract": "True"}, "a random backbone would stay random"),
        ({"use_pretrained": "False", "weights": "my.pth"}, "contradict each other: give weights only"),
        ({"layers": "1,1,1,1"}, r"none are published for resnext14_32x4d \(layers 1,1,1,1\); set weights to none"),
        ({"cardinality": "8"}, "none are published for resnext50_8x4d"),
        ({"weights": "IMAGENET1K_V9"}, "published for resnext50_32x4d are IMAGENET1K_V1, IMAGENET1K_V2"),
        ({"model_name": "resnext101_64x4d", "weights": "IMAGENET1K_V2"}, "are IMAGENET1K_V1; others"),
        ({"quantize_max_drop": "5"}, "quantize_max_drop = '5': must be a number from 0 to 1"),
        (
            {"model_name": "resnet18"},
            "model_name = 'resnet18': 'resnet18' is not a member of the family: expected resnext<",
        ),
        ({"model_name": "resnet50_2x40d"}, "a ResNet has cardinality 1, a ResNeXt more; write resnext50_2x40d"),
        ({"model_name": "resnext26_8x16d"}, "'DEFAULT': none are published for resnext26_8x16d; set weights to none"),
        ({"model_name": "resnext29_8x64d"}, "'DEFAULT': none are published for resnext29_8x64d; set weights to none"),
        ({"stem": "cifar"}, r"none are published for resnext50_32x4d \(layers 3,4,6,3, cifar stem\)"),
        (
            {"model_name": "resnet50", "weights": "IMAGENET1K_V3"},
            "published for resnet50 are IMAGENET1K_V1, IMAGENET1K_V2",
        ),
        ({"weights": "none", "stem": "tiny"}, "stem = 'tiny': must be one of auto, imagenet, cifar"),
        (
            {"weights": "none", "cardinality": "256", "bottleneck_width": "256"},
            "cardinality = 256, bottleneck_width = 256: their product is the channels .* at most 4096",
        ),
        ({"batch_size": "1"}, "batch normalization needs at least 2 images"),
    ],
)
def test_refused_with_a_sentence_that_helps(values, problem):
    with pytest.raises(ParameterError, match=problem):
        read_host_map(values)


def test_all_problems_are_told_at_once():
    with pytest.raises(ParameterError) as caught:
        read_host_map({"epoch": "1", "mixup": "-1", "layers": "x"})
    assert len(caught.value.problems) == 3


def test_a_workflow_of_the_earlier_plugin_means_what_it_meant():
    parameters = read_host_map(OLD_WORKFLOW)
    assert parameters.architecture == Architecture((3, 4, 23, 3), 32, 8)
    assert (parameters.start, parameters.feature_extract, parameters.export_onnx) == ("DEFAULT", True, False)
    assert (parameters.optimizer, parameters.learning_rate, parameters.momentum) == ("sgd", 0.001, 0.9)


def test_strings_are_read_back_as_they_were_written():
    given = Parameters(layers="2, 2", cardinality=8, bottleneck_width=4, weights="none", ema_decay=0.99, mixup=0.2)
    assert read_host_map(given.to_strings()) == given


@pytest.mark.parametrize(
    ("values", "architecture"),
    [
        ({}, Architecture((3, 4, 6, 3), 32, 4)),
        ({"model_name": "resnext101"}, Architecture((3, 4, 23, 3), 32, 8)),
        ({"layers": "1,1,1,1", "cardinality": "8"}, Architecture((1, 1, 1, 1), 8, 4)),
        ({"bottleneck_width": "2"}, Architecture((3, 4, 6, 3), 32, 2)),
        ({"model_name": "resnet50"}, Architecture((3, 4, 6, 3), 1, 64)),
        ({"model_name": "resnext26_8x16d"}, Architecture((2, 2, 2, 2), 8, 16)),
        ({"model_name": "resnext29_8x64d"}, Architecture((3, 3, 3), 8, 64, "cifar")),
        ({"model_name": "resnext29_8x64d", "stem": "imagenet"}, Architecture((3, 3, 3), 8, 64)),
        ({"model_name": "resnet50", "layers": "1,1", "stem": "cifar"}, Architecture((1, 1), 1, 64, "cifar")),
    ],
)
def test_own_dimensions_take_the_place_of_the_named_ones(values, architecture):
    assert read_host_map({"weights": "none", **values}).architecture == architecture


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("resnet50", True),
        ("resnet50_1x64d", True),
        ("resnet101", True),
        ("resnext50", True),
        ("resnext101_64x4d", True),
        ("resnet50_1x40d", False),
        ("resnet29", False),
    ],
)
def test_weights_are_published_for_some_and_the_form_knows_which(name, published):
    form = Form(Parameters, read_host_map)
    values = form.defaults() | {"model_name": name}
    assert (form.problems(values) == []) is published
    assert ("DEFAULT" not in form.ruled_out("weights", values)) is published
    assert Parameters(model_name=name).contradictions() == [] or not published


def test_the_int8_network_may_lose_as_much_as_one_that_is_made_later():
    assert Parameters().quantize_max_drop == MAX_DROP


def test_keys_of_other_plugins_that_mean_the_same_are_taken():
    theirs = {"model_weight_file": "m.pth", "workers": "4", "lr0": "0.02", "cuda": "False"}
    assert read_host_map(theirs) == Parameters(weights="m.pth", num_workers=4, learning_rate=0.02, device="cpu")
    assert read_host_map({"lr": "0.02"}).learning_rate == 0.02


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        ({"dataset_split_ratio": "0.9"}, r"'val_fraction'\? It is the share .* not for training: val_fraction = 0\.1$"),
        ({"dataset_split_ratio": "90"}, "did you mean 'val_fraction'.* not for training$"),
        ({"lr": "0.1", "learning_rate": "0.2"}, "learning_rate = '0.2' and lr = '0.1' contradict each other"),
        ({"lr": "fast"}, "learning_rate = 'fast': must be a number from 0 to 100"),
    ],
)
def test_keys_of_other_plugins_that_mean_something_else_lead_to_ours(theirs, problem):
    with pytest.raises(ParameterError, match=problem):
        read_host_map(theirs)
