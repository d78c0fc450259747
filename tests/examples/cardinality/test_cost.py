import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights

from examples.cardinality.cost import CARDINALITIES, at_constant_cost, cost
from train_torchvision_resnext.resnext.network.architecture import Architecture

FAMILY = [
    Architecture((1,), 1, 64),
    Architecture((1, 2), 4, 4),
    Architecture((1, 1, 2), 8, 6, "cifar"),
    Architecture((2, 1, 1, 1), 2, 8),
    Architecture.from_name("resnet50"),
    Architecture.from_name("resnext29_8x64d"),
]


@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [
        ("resnet50", 25.5, 4.1),
        ("resnext50_32x4d", 25.0, 4.2),
    ],
)
def test_the_papers_table_1(name, millions, billions):
    found = cost(Architecture.from_name(name))
    # 25,557,032 and 25,028,904; the paper cuts the first.
    assert found.parameters / 1e6 == pytest.approx(millions, abs=0.06)
    assert found.gmacs == pytest.approx(billions, abs=0.05)


@pytest.mark.parametrize(
    ("base", "names"),
    [
        ("resnet50", ["resnext50_2x40d", "resnext50_4x24d", "resnext50_8x14d", "resnext50_32x4d"]),
        ("resnet101", ["resnext101_2x40d", "resnext101_4x24d", "resnext101_8x14d", "resnext101_32x4d"]),
    ],
)
def test_the_papers_table_3_keeps_the_budget(base, names):
    budget = cost(Architecture.from_name(base))
    for name in names:
        found = cost(Architecture.from_name(name))
        assert found.multiply_adds == pytest.approx(budget.multiply_adds, rel=0.05), name
        assert found.parameters == pytest.approx(budget.parameters, rel=0.03), name


def test_the_papers_64x4d_has_twice_the_budget_of_resnet_101():
    ratio = cost(Architecture.from_name("resnext101_64x4d")).gmacs / cost(Architecture.from_name("resnet101")).gmacs
    assert ratio == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize(("name", "millions"), [("resnext29_8x64d", 34.4), ("resnext29_16x64d", 68.1)])
def test_the_papers_cifar_networks(name, millions):
    # 34.43 and 68.16: the paper cuts.
    assert 0 <= cost(Architecture.from_name(name), 32, 10).parameters / 1e6 - millions < 0.1


@pytest.mark.parametrize(
    "name", ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "resnet50", "resnet101", "resnet152"]
)
def test_torchvisions_published_figures(name):
    meta = get_model_weights(name)["IMAGENET1K_V1"].meta
    found = cost(Architecture.from_name(name))
    assert found.parameters == meta["num_params"]
    # torchvision writes three decimals at most.
    assert found.gmacs == pytest.approx(meta["_ops"], abs=0.01)


def tensors_of(network, images):
    """What the forward pass keeps for the backward pass and is no weight: bytes."""
    weights = {tensor.data_ptr() for tensor in network.state_dict().values()}
    kept = {}

    def keep(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(images)
    assert result.requires_grad
    return sum(tensor.numel() * tensor.element_size() for tensor in kept.values())


@pytest.mark.parametrize("architecture", FAMILY, ids=str)
@pytest.mark.parametrize("size", [32, 45])
def test_the_counts_are_those_of_the_real_network(architecture, size):
    found = cost(architecture, size, 7)
    with torch.device("meta"):
        network = architecture.build(7).eval()
        images = torch.zeros(1, 3, size, size)
    values = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _module, _inputs, output: values.append(output.numel()))
    with FlopCounterMode(display=False) as counter:
        network(images)
    # torch counts multiplication and addition apart.
    assert counter.get_total_flops() == 2 * found.multiply_adds
    assert sum(values) == found.activations
    assert sum(parameter.numel() for parameter in network.parameters()) == found.parameters
    stored = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    assert sum(tensor.numel() * 4 for tensor in stored) == found.weight_bytes


@pytest.mark.parametrize("architecture", FAMILY[:4], ids=str)
@pytest.mark.parametrize("size", [32, 45])
def test_the_memory_of_training_is_what_torch_keeps(architecture, size):
    network = architecture.build(7)
    # Of the difference of two batches, what does not grow with the images is gone.
    three, two = (tensors_of(network, torch.rand(count, 3, size, size)) for count in (3, 2))
    assert three - two == cost(architecture, size, 7).saved_bytes


@pytest.mark.parametrize(
    ("base", "widths"),
    [
        # The paper's table 2 is of the second stage's block alone: 64, 40, 24, 14 and, at 32 paths, 4.
        (Architecture((200,), 1, 64), (64, 40, 24, 14, 8, 4)),
        # Of whole networks, whose first blocks have a stride, some widths are one less.
        (Architecture.from_name("resnet50"), (64, 40, 24, 13, 7, 4)),
        (Architecture.from_name("resnet101"), (64, 40, 24, 14, 7, 4)),
        (Architecture.from_name("resnet29"), (64, 40, 24, 13, 7, 4)),
    ],
    ids=str,
)
def test_constant_cost_gives_the_papers_widths(base, widths):
    family = at_constant_cost(base)
    assert tuple(member.cardinality for member in family) == CARDINALITIES
    assert tuple(member.bottleneck_width for member in family) == widths
    assert {(member.layers, member.stem) for member in family} == {(base.layers, base.stem)}
    for member in family:
        assert cost(member).multiply_adds == pytest.approx(cost(base).multiply_adds, rel=0.09)


@pytest.mark.parametrize("base", FAMILY[2:5], ids=str)
def test_no_other_width_is_nearer(base):
    wanted = cost(base, 32).multiply_adds
    for member in at_constant_cost(base, input_size=32):
        near = [
            abs(cost(Architecture(base.layers, member.cardinality, width, base.stem), 32).multiply_adds - wanted)
            for width in range(1, 80)
        ]
        assert 1 + near.index(min(near)) == member.bottleneck_width
