"""The paper's three forms of a block are one and the same function; a naive reading of it is another network."""

import pytest
import torch

from infer_torchvision_resnext.resnext.network.architecture import Architecture
from tests.infer_torchvision_resnext.resnext.block_forms import EarlyConcatenation, SeparatePaths


def grouped_block(cardinality, width, stage=1, dtype=torch.float32):
    """Figure 3 (c): a block of our network, its normalizations given weights that matter, and features for it."""
    torch.manual_seed(cardinality)
    network = Architecture((1,) * stage, cardinality, width).build(2).to(dtype)
    block = getattr(network, f"layer{stage}")[0]
    with torch.no_grad():
        for norm in (block.bn1, block.bn2, block.bn3):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
    features = torch.randn(3, block.conv1.in_channels, 9, 9, dtype=dtype)
    return block, features


def run(form, features):
    """Output and the gradient of the features; the form keeps those of its weights."""
    features = features.clone().requires_grad_()
    output = form.train()(features)
    # A loss that no two values of the output share.
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)
    (output * weights).sum().backward()
    return output.detach(), features.grad


def relative(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("form", [SeparatePaths, EarlyConcatenation])
@pytest.mark.parametrize(
    ("cardinality", "width", "stage"), [(1, 64, 1), (2, 40, 1), (4, 24, 1), (8, 14, 1), (32, 4, 1), (8, 4, 2)]
)
def test_the_same_weights_give_the_same_output_and_gradients(form, cardinality, width, stage, dtype):
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    block, features = grouped_block(cardinality, width, stage, dtype)
    other = form(block)
    assert len(other.paths) == cardinality
    (expected, expected_slope), (found, slope) = run(block, features), run(other, features)
    assert relative(found, expected) < tolerance
    assert relative(slope, expected_slope) < tolerance
    gradients = other.gradients()
    assert set(gradients) == {name for name, _ in block.named_parameters()}
    for name, parameter in block.named_parameters():
        assert float(parameter.grad.abs().max()) > 1e-3, name
        assert relative(gradients[name], parameter.grad) < tolerance, name


@pytest.mark.parametrize("form", [SeparatePaths, EarlyConcatenation])
def test_the_comparison_notices_a_path_out_of_place(form):
    block, features = grouped_block(4, 8)
    other = form(block)
    first, second = other.paths[0][3].weight, other.paths[1][3].weight
    with torch.no_grad():
        kept = first.clone()
        first.copy_(second)
        second.copy_(kept)
    assert relative(run(other, features)[0], run(block, features)[0]) > 1e-2


def count(form):
    return sum(parameter.numel() for parameter in form.parameters())


def convolutions(form):
    return sum(parameter.numel() for parameter in form.parameters() if parameter.ndim == 4)


def test_a_naive_reading_has_many_times_the_parameters():
    """32 paths of ResNet's full width, or 32 x 4 channels without groups: neither is the paper's block."""
    # The second block of a stage, whose shortcut has no weights: 256 channels in and out.
    block = Architecture((2,), 32, 4).build(2).layer1[1]
    separate = SeparatePaths(block)
    assert convolutions(block) == convolutions(separate) == 32 * (256 * 4 + 9 * 4 * 4 + 4 * 256) == 70_144
    # The same numbers in another order, those of batch normalization too.
    assert count(block) == count(separate)
    resnet = Architecture((2,), 1, 64).build(2).layer1[1]
    assert convolutions(resnet) == 256 * 64 + 9 * 64 * 64 + 64 * 256 == 69_632
    full_width = SeparatePaths(Architecture((2,), 32, 64).build(2).layer1[1])
    assert convolutions(full_width) == 32 * 69_632
    no_groups = Architecture((2,), 1, 32 * 4).build(2).layer1[1]
    assert convolutions(no_groups) == 256 * 128 + 9 * 128 * 128 + 128 * 256 == 212_992
