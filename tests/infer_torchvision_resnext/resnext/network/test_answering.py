import pytest
import torch

from infer_torchvision_resnext.resnext.network.answering import answering
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.resnext.network.outputs import Outputs


def test_logits_stay_as_they_are_bit_for_bit_and_features_come_with_them():
    torch.manual_seed(0)
    architecture = Architecture((1, 1), 4, 4)
    network = architecture.build(5).eval()
    state, pixels, kept = network.state_dict(), torch.randn(3, 3, 64, 64), []
    network.layer2.register_forward_hook(lambda module, given, found: kept.append(found))
    with torch.inference_mode():
        logits = network(pixels).numpy()
        outputs = Outputs.of(answering(architecture.load(state))(pixels).numpy(), 5)
    assert (outputs.logits == logits).all()
    assert outputs.features == pytest.approx(kept[0].mean((2, 3)).numpy(), abs=1e-6)
    weight, bias = state["fc.weight"].numpy(), state["fc.bias"].numpy()
    assert outputs.features @ weight.T + bias == pytest.approx(logits, abs=1e-5)
