import pytest
import torch

from infer_torchvision_resnext.resnext.network.answering import Outputs, answering
from infer_torchvision_resnext.resnext.network.architecture import Architecture


@pytest.fixture(scope="module")
def exact():
    """A network, pixels, its logits, and the last convolutions' output."""
    torch.manual_seed(0)
    network = Architecture((1, 1), 4, 4).build(5).eval()
    pixels, kept = torch.randn(3, 3, 64, 64), []
    hook = network.layer2.register_forward_hook(lambda module, given, found: kept.append(found))
    with torch.inference_mode():
        logits = network(pixels)
    hook.remove()
    return network.state_dict(), pixels, logits.numpy(), kept[0].numpy()


def run(state, pixels, mapped):
    network = answering(Architecture((1, 1), 4, 4).load(state).eval(), mapped)
    with torch.inference_mode():
        return Outputs.of(network(pixels).numpy(), 5, 512)


def test_logits_stay_as_they_are_bit_for_bit_and_features_come_with_them(exact):
    state, pixels, logits, activation = exact
    outputs = run(state, pixels, mapped=False)
    assert (outputs.logits == logits).all()
    assert outputs.features == pytest.approx(activation.mean(axis=(2, 3)), abs=1e-6)
    weight, bias = state["fc.weight"].numpy(), state["fc.bias"].numpy()
    assert outputs.features @ weight.T + bias == pytest.approx(logits, abs=1e-5)


def test_with_maps_the_output_of_the_last_convolutions_comes_with_them(exact):
    state, pixels, logits, activation = exact
    outputs = run(state, pixels, mapped=True)
    assert outputs.logits == pytest.approx(logits, abs=1e-5)
    assert (outputs.activation_of(1) == activation[1]).all()
    assert outputs.features == pytest.approx(activation.mean(axis=(2, 3)), abs=1e-6)
