import pytest
import torch
from torchvision.models import get_model

from infer_torchvision_resnext.resnext.architecture import Architecture, ArchitectureError, class_count

NAMES = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")


@pytest.mark.parametrize("name", NAMES)
def test_named_networks_are_torchvisions_parameter_by_parameter(name):
    with torch.device("meta"):
        ours, theirs = Architecture.from_name(name).build(1000), get_model(name)
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == [
        (key, value.shape) for key, value in theirs.state_dict().items()
    ]


def test_the_smallest_has_the_papers_25_million_parameters():
    with torch.device("meta"):
        network = Architecture.from_name("resnext50").build(1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == 25_028_904


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("resnext50", Architecture((3, 4, 6, 3), 32, 4)),
        ("resnext101", Architecture((3, 4, 23, 3), 32, 8)),
        ("resnext101_64x4d", Architecture((3, 4, 23, 3), 64, 4)),
        ("resnext26_8x16d", Architecture((2, 2, 2, 2), 8, 16)),
    ],
)
def test_a_name_is_the_specification(name, architecture):
    assert Architecture.from_name(name) == architecture


@pytest.mark.parametrize("name", ["resnet50", "resnext51_32x4d", "resnext50_32x", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ArchitectureError, match="names no ResNeXt: expected resnext<depth>_<cardinality>x<width>d"):
        Architecture.from_name(name)


@pytest.mark.parametrize("layers", [(1,), (1, 2), (1, 1, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize(("cardinality", "width"), [(1, 8), (4, 2), (8, 4)])
def test_a_network_of_any_depth_runs_and_is_known_by_its_weights(layers, cardinality, width):
    architecture = Architecture(layers, cardinality, width)
    network = architecture.build(5).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert Architecture.of_state(network.state_dict()) == architecture
    assert class_count(network.state_dict()) == 5
    grouped = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert {convolution.groups for convolution in grouped} == {cardinality}
    assert grouped[0].out_channels == cardinality * width


def test_loading_takes_the_tensors_and_gives_the_same_answers():
    architecture = Architecture((1, 1), 4, 4)
    network = architecture.build(3).eval()
    loaded = architecture.load(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert not loaded.training
    assert torch.equal(loaded(images), network(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bn1.weight"), "bn1.weight is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is not part of resnext8_4x4d"),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            r"conv1.weight has the shape \(64, 1, 7, 7\), expected \(64, 3, 7, 7\)",
        ),
        (lambda state: state.pop("layer1.0.conv2.weight"), "no weights of a ResNeXt"),
        (lambda state: state.pop("fc.weight"), "no fc.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, message):
    architecture = Architecture((1, 1), 4, 4)
    state = dict(architecture.build(3).state_dict())
    change(state)
    with pytest.raises(ArchitectureError, match=message):
        architecture.load(state)


def test_weights_of_another_architecture_are_refused_with_both():
    state = Architecture((1, 1), 4, 4).build(3).state_dict()
    with pytest.raises(ArchitectureError, match=r"of resnext8_4x4d \(layers 1,1\), expected resnext50_32x4d"):
        Architecture.from_name("resnext50").load(state)


@pytest.mark.parametrize("arguments", [((), 1, 1), ((1, 0), 1, 1), ((1,) * 5, 1, 1), ((1,), 0, 4), ((1,), 4, 0)])
def test_what_cannot_be_built_is_refused(arguments):
    with pytest.raises(ArchitectureError, match=r"layers|must be at least 1"):
        Architecture(*arguments)
