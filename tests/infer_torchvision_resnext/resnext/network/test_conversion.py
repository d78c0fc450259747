import logging

import pytest
import torch
from torch.export import Dim

from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.answering import answering
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.resnext.network.conversion import ConversionError, to_openvino, traced
from infer_torchvision_resnext.resnext.network.normalization import Normalize

PREPROCESSING = Preprocessing(36, 32)


def network():
    return answering(Architecture((1, 1), 2, 4).build(3).eval(), apart=True)


def log_settings():
    root = logging.getLogger()
    return root.level, list(root.filters), list(root.handlers)


@pytest.fixture
def log_kept():
    """What a failing test would leave behind for the others."""
    level, filters, handlers = log_settings()
    yield
    root = logging.getLogger()
    root.setLevel(level)
    root.filters, root.handlers = filters, handlers


@pytest.mark.usefixtures("log_kept")
def test_converting_leaves_the_log_as_it_was_also_where_it_fails():
    pytest.importorskip("openvino")
    before = log_settings()
    to_openvino(network(), PREPROCESSING)
    assert log_settings() == before

    # An operation that OpenVINO has no word for.
    class Strange(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, pixels):
            sums = torch.special.modified_bessel_k1(pixels.mean((2, 3)) * self.weight)
            return sums, sums, sums

    with pytest.raises(ConversionError, match="OpenVINO cannot convert this network"):
        to_openvino(Strange(), PREPROCESSING)
    assert log_settings() == before


def test_normalizing_changes_nothing_in_place_which_export_refuses_before_torch_2_8():
    crops = torch.full((2, 64, 64, 3), 128.0)
    pixels = PREPROCESSING.normalize(crops)
    assert torch.equal(crops, torch.full((2, 64, 64, 3), 128.0))
    layer = Normalize(PREPROCESSING)
    assert torch.equal(layer(crops), pixels)
    operations = {str(node.target) for node in traced(layer, crops, {}).graph.nodes if node.op == "call_function"}
    assert {"aten.div.Tensor", "aten.sub.Tensor"} <= operations
    assert not {name for name in operations if name.split(".")[1].endswith("_")}


def test_the_number_of_networks_that_a_process_converts_has_no_limit():
    """Dynamo, by which torch 2.6 and 2.7 trace unless told otherwise, refuses the ninth."""
    for _ in range(10):
        layers = torch.nn.Sequential(torch.nn.Linear(2, 2)).eval()
        assert traced(layers, torch.zeros(2, 2), {0: Dim("batch")}).graph.nodes


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "rnn"), reason="torch has one switch before 2.9")
def test_a_network_is_converted_while_another_plugin_keeps_cudnns_precisions_apart():
    pytest.importorskip("openvino")
    before = torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision = "ieee", "tf32"
    try:
        assert len(to_openvino(network(), PREPROCESSING).outputs) == 3
        assert (torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision) == ("ieee", "tf32")
    finally:
        torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision = before
