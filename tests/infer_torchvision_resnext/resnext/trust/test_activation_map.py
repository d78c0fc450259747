import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image

from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.network.architecture import Architecture
from infer_torchvision_resnext.resnext.trust.activation_map import activation_map, place


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Architecture((1, 1), 4, 4).build(5).eval()


def activation_of(network, pixels):
    kept = {}
    hook = network.layer2.register_forward_hook(lambda module, inputs, output: kept.update(found=output))
    with torch.inference_mode():
        logits = network(pixels)
    hook.remove()
    return kept["found"].numpy(), logits.numpy()


def test_the_mean_of_the_map_and_the_bias_are_the_logit(network):
    activation, logits = activation_of(network, torch.randn(3, 3, 64, 96))
    weight, bias = (parameter.detach().numpy() for parameter in (network.fc.weight, network.fc.bias))
    for image in range(3):
        for kind in range(5):
            found = activation_map(activation[image], weight[kind])
            assert found.mean() + bias[kind] == pytest.approx(logits[image, kind], abs=1e-5)


def test_where_it_is_positive_it_is_captums_grad_cam(network):
    pixels = torch.randn(1, 3, 64, 64)
    activation, _ = activation_of(network, pixels)
    oracle = LayerGradCam(network, network.layer2)
    expected = oracle.attribute(pixels, target=2, relu_attributions=True)[0, 0].detach().numpy()
    found = activation_map(activation[0], network.fc.weight[2].detach().numpy())
    # Grad-CAM's gradient is the weight divided by the number of places.
    assert found.clip(min=0) / found.size == pytest.approx(expected, abs=1e-6)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"an activation of shape \(4, 2, 2\) and weights of shape \(3,\)"):
        activation_map(np.zeros((4, 2, 2), np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize(("height", "width"), [(100, 300), (300, 100), (37, 37), (5, 900), (2, 2), (1, 1)])
def test_it_lies_where_the_crop_was_taken_from(height, width):
    preprocessing = Preprocessing(256, 224)
    rows, columns = preprocessing.shown(height, width)
    placed = place(np.ones((7, 7), np.float32), preprocessing, height, width)
    x, y, across, down = placed.box_xywh
    assert placed.values.shape == (down, across)
    assert placed.values == pytest.approx(1)
    assert (x, y) == (int(columns.start), int(rows.start))
    assert x + across == min(width, int(np.ceil(columns.stop)))
    assert y + down == min(height, int(np.ceil(rows.stop)))


def test_a_spot_is_shown_where_it_was():
    # The crop shows rows 8 to 56 and columns 40 to 88 of 64 x 128 pixels, in cells of 8.
    preprocessing = Preprocessing(64, 48)
    values = np.zeros((6, 6), np.float32)
    values[1, 4] = 1
    placed = place(values, preprocessing, 64, 128)
    assert placed.box_xywh == (40, 8, 48, 48)
    row, column = np.argwhere(placed.values > 0.85).mean(axis=0)
    assert (row + 0.5 + 8, column + 0.5 + 40) == (8 + 1.5 * 8, 40 + 4.5 * 8)


def test_interpolation_is_pils():
    values = np.random.default_rng(0).normal(0, 1, (7, 7)).astype(np.float32)
    placed = place(values, Preprocessing(70, 70), 70, 70)
    expected = np.asarray(Image.fromarray(values).resize((70, 70), Image.Resampling.BILINEAR))
    assert placed.values == pytest.approx(expected, abs=1e-5)


def test_a_map_of_one_cell_covers_everything():
    assert place(np.full((1, 1), 3, np.float32), Preprocessing(32, 32), 20, 20).values == pytest.approx(3)
