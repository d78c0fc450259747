"""Resizing, cropping and normalizing, worked out by hand on images of a few pixels."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model_weights
from torchvision.transforms._presets import ImageClassification

from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.images.triangle_filter import Stretch, triangle


def gray(rows):
    """H x W levels as RGB, of which green is a level more and blue is two."""
    levels = np.array(rows, np.uint8)[:, :, None]
    return levels + np.arange(3, dtype=np.uint8)


def levels_of(crop):
    """The other way around; all channels must agree."""
    levels = crop.astype(int) - np.arange(3)
    assert (levels == levels[:, :, :1]).all()
    return levels[:, :, 0].tolist()


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


ENLARGED = [
    # Along the rows 1, 3/4, 1/4, 0 of the left one; then down the columns alike. Halves between are rounded.
    [0, 25, 75, 100],
    [50, 59, 76, 85],
    [150, 126, 79, 55],
    [200, 160, 80, 40],
]


@pytest.mark.parametrize(
    ("preprocessing", "image", "expected"),
    [
        ((4, 4), [[0, 100], [200, 40]], ENLARGED),
        ((4, 2), [[0, 100], [200, 40]], [row[1:3] for row in ENLARGED[1:3]]),
        # Half a pixel to the left of the middle rounds to even: 0.5 to 0.
        ((4, 3), [[0, 100], [200, 40]], [row[:3] for row in ENLARGED[:3]]),
        # Shrunk to half, a pixel is 3/7, 3/7 and 1/7 of its neighbors, what lies outside not counted.
        ((2, 2), [[0, 70, 140, 210]] * 4, [[50, 160]] * 2),
        ((2, 2), np.transpose([[0, 70, 140, 210]] * 4), [[50, 50], [160, 160]]),
        ((2, 1), [[0, 70, 140, 210]] * 4, [[50]]),
        ((3, 2), [[9]], [[9, 9], [9, 9]]),
        ((1, 1), [[9, 9]], [[9]]),
        # The short side is right already: 3 x 6, of which 2 x 2 from row 0 (0.5, rounded to even) and column 2.
        ((3, 2), np.arange(18).reshape(3, 6), [[2, 3], [8, 9]]),
        ((3, 2), np.arange(18).reshape(6, 3), [[6, 7], [9, 10]]),
        # 1.5 rounds to 2.
        ((5, 2), np.arange(25).reshape(5, 5), [[12, 13], [17, 18]]),
        ((3, 3), np.arange(9).reshape(3, 3), np.arange(9).reshape(3, 3).tolist()),
        # Long strips: the middle of 100 columns, and of 101, 49.5 rounded to 50.
        ((2, 2), np.arange(200).reshape(2, 100), [[49, 50], [149, 150]]),
        ((1, 1), np.arange(101).reshape(1, 101), [[50]]),
        ((2, 1), np.arange(202).reshape(2, 101), [[50]]),
        ((2, 2), np.arange(200).reshape(100, 2), [[98, 99], [100, 101]]),
        ((2, 1), np.arange(202).reshape(101, 2), [[100]]),
        # A strip shrunk to half: along it, each pixel is 1/8, 3/8, 3/8 and 1/8 of four.
        ((1, 1), [[0, 0, 0, 0, 80, 160, 0, 0, 0, 0]] * 2, [[90]]),
        # Enlarged to the double, pixels 9 and 10 of 20: 1/4 and 3/4 of 4 and 5, and the other way around.
        ((2, 2), [[0, 0, 0, 0, 80, 160, 0, 0, 0, 0]], [[60 + 40, 20 + 120]] * 2),
    ],
)
def test_crops_of_a_few_pixels(preprocessing, image, expected):
    assert levels_of(Preprocessing(*preprocessing).crop(gray(image))) == expected


@pytest.mark.parametrize(
    ("preprocessing", "size", "rows", "columns"),
    [
        ((256, 224), (100, 200), (100 / 256, 16, 224), (200 / 512, 144, 224)),
        # 258.56 is cut to 258.
        ((256, 224), (101, 100), (101 / 258, 17, 224), (100 / 256, 16, 224)),
        # 11.67 is cut to 11, and (11 - 4) / 2 = 3.5 and (5 - 4) / 2 = 0.5 are rounded to even.
        ((5, 4), (7, 3), (7 / 11, 4, 4), (3 / 5, 0, 4)),
        ((3, 3), (1, 1), (1 / 3, 0, 3), (1 / 3, 0, 3)),
    ],
)
def test_what_a_crop_shows(preprocessing, size, rows, columns):
    assert Preprocessing(*preprocessing).shown(*size) == (Stretch(*rows), Stretch(*columns))


@pytest.mark.parametrize(
    ("sizes", "input_size", "scaled"),
    [
        ((232, 224), 100, (104, 100)),
        ((256, 224), 16, (18, 16)),
        ((256, 224), 4096, (4681, 4096)),
        ((36, 32), 0, (36, 32)),
        ((36, 32), 32, (36, 32)),
        ((40, 40), 1, (1, 1)),
    ],
)
def test_another_size_keeps_framing_and_colors(sizes, input_size, scaled):
    colors = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    assert Preprocessing(*sizes, *colors).scaled_to(input_size) == Preprocessing(*scaled, *colors)


def test_a_normalized_pixel_and_where_it_goes():
    pixels = torch.zeros(2, 3, 4, 3, dtype=torch.uint8)
    pixels[1, 2, 3] = torch.tensor([0, 128, 255], dtype=torch.uint8)
    before = pixels.clone()
    normalized = Preprocessing().normalize(pixels)
    assert (normalized.shape, normalized.dtype) == ((2, 3, 3, 4), torch.float32)
    # (0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225
    assert normalized[1, :, 2, 3].tolist() == pytest.approx([-2.1179039, 0.2051821, 2.64], abs=1e-6)
    assert normalized[0, :, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert torch.equal(pixels, before)
    own = Preprocessing(mean=(0, 0.5, 1), std=(0.5, 1, 2)).normalize(pixels)
    assert own[1, :, 2, 3].tolist() == pytest.approx([0, 128 / 255 - 0.5, 0], abs=1e-6)
    assert own[0, :, 0, 0].tolist() == pytest.approx([0, -0.5, -0.5])


PUBLISHED = [
    weights
    for name in ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "resnet50")
    for weights in get_model_weights(name)
]


@pytest.mark.parametrize("published", PUBLISHED, ids=str)
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (225, 223), (31, 47)])
def test_published_weights_get_the_tensor_of_their_own_transforms(published, size):
    image, transforms = noise(*size), published.transforms()
    preprocessing = Preprocessing(transforms.resize_size[0], transforms.crop_size[0])
    found = preprocessing.normalize(torch.from_numpy(preprocessing.crop(image).copy())[None])[0]
    assert torch.equal(found, transforms(Image.fromarray(image)))


def torchvisions(preprocessing, image):
    sizes = {"crop_size": preprocessing.crop_size, "resize_size": preprocessing.resize_size}
    pixels = ImageClassification(**sizes, mean=(0,) * 3, std=(1,) * 3)(Image.fromarray(image))
    return pixels.mul(255).round().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(1999, 2001), (1999, 2010), (2010, 1999), (2000, 2000)])
def test_from_4_million_pixels_and_8_times_the_size_on_means_are_resized(size):
    """Of which some pixels are a level off."""
    preprocessing, image = Preprocessing(250, 224), noise(*size)
    large = min(size) >= 8 * 250 and size[0] * size[1] >= 4_000_000
    assert np.array_equal(preprocessing.crop(image), torchvisions(preprocessing, image)) != large


@pytest.mark.parametrize(("side", "columns"), [(2, 2048), (2, 4095), (4, 4096), (4, 6143), (6, 6144)])
def test_a_large_photo_is_made_of_means_that_are_rounded_once(side, columns):
    """A white pixel in each square of `side` makes a mean of 255 / side^2: 63.75 to 64, 15.94 to 16, 7.08 to 7."""
    image = np.zeros((columns, columns, 3), np.uint8)
    image[::side, ::side] = 255
    expected = {2: 64, 4: 16, 6: 7}[side]
    crop = Preprocessing().crop(image)
    assert (crop == expected).all()


@pytest.mark.parametrize("long_side", [120, 122])
def test_up_to_4_times_as_long_as_wide_the_whole_image_is_resized(long_side):
    """Beyond, PIL keeps the borders of what is shown in float32, and some pixels are a level off."""
    for image in (noise(30, long_side), noise(long_side, 30)):
        preprocessing = Preprocessing(256, 224)
        difference = np.abs(preprocessing.crop(image) - torchvisions(preprocessing, image))
        assert difference.max() == (1 if long_side > 120 else 0)


@pytest.mark.parametrize(
    ("stretch", "start", "stop", "shown", "reach"),
    [
        # A shrinking filter reaches `scale` source pixels beyond, an enlarging one a pixel.
        (Stretch(2.0, 3, 4), 6, 14, slice(3, 7), (4, 16)),
        (Stretch(0.5, 3, 4), 1.5, 3.5, slice(3, 7), (0, 5)),
        (Stretch(1.0, 0, 2), 0, 2, slice(0, 2), (0, 3)),
        (Stretch(1.5, 4, 3), 6, 10.5, slice(4, 7), (4, 12)),
        # Not beyond the image's 20 pixels.
        (Stretch(2.0, 8, 2), 16, 20, slice(8, 10), (14, 20)),
    ],
)
def test_a_stretch_on_the_sources_axis(stretch, start, stop, shown, reach):
    assert (stretch.start, stretch.stop, stretch.shown, stretch.reach(20)) == (start, stop, shown, reach)


@pytest.mark.parametrize(("step", "reach"), [(1, (4, 16)), (2, (4, 16)), (3, (3, 18)), (8, (0, 16)), (16, (0, 16))])
def test_a_reach_in_whole_steps(step, reach):
    assert Stretch(2.0, 3, 4).reach(20, step) == reach


@pytest.mark.parametrize(
    ("stretch", "sources", "expected"),
    [
        # The middle of the pixel is at 1 of the source's axis, those of the sources at 0.5, 1.5, 2.5 and 3.5.
        (Stretch(2.0, 0, 2), (0, 4), [[3 / 7, 3 / 7, 1 / 7, 0], [0, 1 / 7, 3 / 7, 3 / 7]]),
        (Stretch(2.0, 1, 1), (1, 5), [[1 / 8, 3 / 8, 3 / 8, 1 / 8]]),
        (Stretch(0.5, 0, 4), (0, 2), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]),
        (Stretch(1.0, 1, 1), (0, 3), [[0, 1, 0]]),
    ],
)
def test_weights_of_the_triangle(stretch, sources, expected):
    resized = np.arange(stretch.begin, stretch.begin + stretch.count)
    found = triangle(np.arange(*sources), resized, stretch.scale)
    np.testing.assert_allclose(found, expected, atol=1e-12)
