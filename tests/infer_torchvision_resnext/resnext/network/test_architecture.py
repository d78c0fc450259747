import pytest
import torch
from torchvision.models import get_model

from infer_torchvision_resnext.resnext.network.architecture import Architecture, ArchitectureError, class_count

NAMES = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "resnet50", "resnet101", "resnet152")


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
        ("resnet50", Architecture((3, 4, 6, 3), 1, 64)),
        ("resnet50_1x64d", Architecture((3, 4, 6, 3), 1, 64)),
        ("resnet101_1x100d", Architecture((3, 4, 23, 3), 1, 100)),
        ("resnext29_8x64d", Architecture((3, 3, 3), 8, 64, "cifar")),
        ("resnet29", Architecture((3, 3, 3), 1, 64, "cifar")),
    ],
)
def test_a_name_is_the_specification(name, architecture):
    assert Architecture.from_name(name) == architecture
    assert architecture.is_named
    assert Architecture.from_name(architecture.name) == architecture
    assert str(architecture) == architecture.name


@pytest.mark.parametrize(
    ("architecture", "text"),
    [
        (Architecture((1, 1), 4, 4), "resnext8_4x4d (layers 1,1)"),
        (Architecture((1, 1), 1, 64, "cifar"), "resnet8 (layers 1,1, cifar stem)"),
        # The name would mean the other stem.
        (Architecture((3, 3, 3), 8, 64), "resnext29_8x64d (layers 3,3,3)"),
        (Architecture((2, 2, 2, 2), 1, 8, "cifar"), "resnet26_1x8d (layers 2,2,2,2, cifar stem)"),
    ],
)
def test_what_the_name_does_not_say_is_said_beside_it(architecture, text):
    assert str(architecture) == text
    assert not architecture.is_named


@pytest.mark.parametrize("name", ["resnet18", "resnet", "resnext50_", "resnext51_32x4d", "resnext50_32x", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ArchitectureError, match=r"is not a member of the family: expected resnext<depth>_<card"):
        Architecture.from_name(name)


@pytest.mark.parametrize(
    ("name", "right"), [("resnet50_32x4d", "resnext50_32x4d"), ("resnext50_1x64d", "resnet50"), ("resnext50_1x4d", "d")]
)
def test_resnet_is_the_name_of_cardinality_1(name, right):
    with pytest.raises(ArchitectureError, match=f"a ResNet has cardinality 1, a ResNeXt more; write .*{right}$"):
        Architecture.from_name(name)


@pytest.mark.parametrize("layers", [(1,), (1, 2), (1, 1, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize(("cardinality", "width"), [(1, 8), (4, 2), (8, 4)])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_a_network_of_any_depth_runs_and_is_known_by_its_weights(layers, cardinality, width, stem):
    architecture = Architecture(layers, cardinality, width, stem)
    network = architecture.build(5).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert Architecture.of_state(network.state_dict()) == architecture
    assert class_count(network.state_dict()) == 5
    grouped = [module for name, module in network.named_modules() if name.endswith("conv2")]
    assert {convolution.groups for convolution in grouped} == {cardinality}
    assert grouped[0].out_channels == cardinality * width


def test_the_cifar_form_is_the_papers():
    """Maps of 32, 16 and 8 pixels with 256, 512 and 1024 channels; one 3 x 3 convolution before them."""
    network = Architecture.from_name("resnext29_2x8d").build(10).eval()
    shapes = {}
    for name in ("bn1", "maxpool", "layer1", "layer2", "layer3"):
        getattr(network, name).register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    network(torch.zeros(1, 3, 32, 32))
    assert shapes == {
        "bn1": (64, 32, 32),
        "maxpool": (64, 32, 32),
        "layer1": (256, 32, 32),
        "layer2": (512, 16, 16),
        "layer3": (1024, 8, 8),
    }
    # He's initialization: of 64 outputs, each seen by 9 pixels.
    assert float(network.conv1.weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)


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
        (lambda state: state.pop("layer1.0.conv2.weight"), "not weights of a ResNeXt"),
        (lambda state: state.pop("layer1.0.conv3.weight"), "of a ResNet of basic blocks, such as ResNet-18"),
        (lambda state: state.pop("conv1.weight"), "conv1.weight is missing"),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(64, 3, 5, 5)}),
            r"conv1.weight has the shape \(64, 3, 5, 5\): expected a kernel of 7 x 7 \(ImageNet\) or 3 x 3 \(CIFAR\)",
        ),
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


def test_weights_of_the_other_stem_are_refused_with_both():
    state = Architecture((1, 1), 4, 4, "cifar").build(3).state_dict()
    with pytest.raises(ArchitectureError, match=r"\(layers 1,1, cifar stem\), expected resnext8_4x4d \(layers 1,1\)"):
        Architecture((1, 1), 4, 4).load(state)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (((), 1, 1), "layers = '': expected one to four stages of 1 to 256 blocks"),
        (((1, 0), 1, 1), "layers = '1,0': expected one to four stages"),
        (((1,) * 5, 1, 1), "layers = '1,1,1,1,1': expected one to four stages"),
        (((257,), 1, 1), "layers = '257': expected"),
        (((1,), 0, 4), "cardinality = 0, bottleneck_width = 4: both must be at least 1"),
        (((1,), 4, 0), "cardinality = 4, bottleneck_width = 0: both must be at least 1"),
        (((1,), 65, 64), "cardinality = 65, bottleneck_width = 64: their product is the channels .*, at most 4096"),
        (((1,), 1, 1, "tiny"), "stem = 'tiny': must be one of imagenet, cifar"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_rule(arguments, rule):
    with pytest.raises(ArchitectureError, match=rule):
        Architecture(*arguments)


def test_the_widest_that_is_allowed_can_be_built():
    with torch.device("meta"):
        network = Architecture((1, 1, 1, 1), 64, 64).build(10)
    assert network.layer4[0].conv2.weight.shape == (32_768, 512, 3, 3)
