import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNeXt50_32X4D_Weights
from torchvision.transforms._presets import ImageClassification

from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing


def tensor(preprocessing, image):
    return preprocessing.normalize(torch.from_numpy(preprocessing.crop(image)[None].copy()))[0]


@pytest.mark.parametrize(("resize_size", "crop_size"), [(256, 224), (232, 224), (128, 112), (36, 32), (224, 224)])
def test_photos_give_torchvisions_tensor_bit_for_bit(photos, resize_size, crop_size):
    for photo in (*photos, photos[0].transpose(1, 0, 2), photos[1][:301, :299]):
        expected = ImageClassification(crop_size=crop_size, resize_size=resize_size)(Image.fromarray(photo))
        assert torch.equal(tensor(Preprocessing(resize_size, crop_size), photo), expected)


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (1, 3), (7, 9), (223, 225), (500, 126), (1024, 256), (64, 256), (300, 301)]
)
def test_odd_sizes_give_torchvisions_tensor_bit_for_bit(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = ImageClassification(crop_size=224, resize_size=232)(Image.fromarray(image))
    assert torch.equal(tensor(Preprocessing(232, 224), image), expected)


@pytest.mark.parametrize("shape", [(30, 200), (200, 30), (40, 1000), (3, 61)])
def test_a_long_strip_is_within_two_levels_of_torchvision(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    pixels = Preprocessing(36, 32).crop(image).astype(int)
    whole = Image.fromarray(image).resize(
        (36 * shape[1] // min(shape), 36 * shape[0] // min(shape)), Image.Resampling.BILINEAR
    )
    top, left = round((whole.height - 32) / 2), round((whole.width - 32) / 2)
    expected = np.asarray(whole).astype(int)[top : top + 32, left : left + 32]
    assert np.abs(pixels - expected).max() <= 2
    assert np.abs(pixels - expected).mean() < 0.1


def large_photo(photo, height, width):
    """A photo of many megapixels, with a sensor's noise."""
    enlarged = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(0).normal(0, 5, enlarged.shape).astype(np.float32)
    return np.rint(np.clip(enlarged + noise, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "largest", "mean"), [((3000, 4000), 1, 0.17), ((2500, 2100), 2, 0.25), ((2061, 2063), 2, 0.25)]
)
@pytest.mark.parametrize("sizes", [(256, 224), (232, 224), (40, 40)])
def test_a_large_photo_is_a_fifth_of_a_level_from_torchvision(photos, shape, largest, mean, sizes):
    photo = large_photo(photos[0], *shape)
    resize_size, crop_size = sizes
    expected = ImageClassification(crop_size=crop_size, resize_size=resize_size, mean=(0,) * 3, std=(1,) * 3)(
        Image.fromarray(photo)
    )
    levels = expected.mul(255).round().permute(1, 2, 0).numpy()
    difference = np.abs(Preprocessing(resize_size, crop_size).crop(photo) - levels)
    assert difference.max() <= largest
    assert difference.mean() < mean
    assert np.ptp(levels) > 100


def test_a_large_photo_is_the_same_however_it_lies_and_in_whichever_thread(photos):
    photo = large_photo(photos[1], 2100, 2050)
    preprocessing = Preprocessing(256, 224)
    expected = preprocessing.crop(photo)
    with ThreadPoolExecutor(3) as pool:
        for crop in pool.map(preprocessing.crop, [photo] * 6):
            assert np.array_equal(crop, expected)
    assert np.array_equal(preprocessing.crop(np.asfortranarray(photo)), expected)
    upside_down = photo[::-1, :, ::-1].copy()
    assert np.array_equal(preprocessing.crop(upside_down[::-1, :, ::-1]), expected)
    photo.setflags(write=False)
    assert np.array_equal(preprocessing.crop(photo), expected)


@pytest.mark.parametrize("level", [0, 1, 137, 255])
def test_a_large_photo_of_one_level_keeps_it(level):
    assert (Preprocessing(256, 224).crop(np.full((2200, 2100, 3), level, np.uint8)) == level).all()


def test_a_large_photo_of_black_and_white_stays_within_two_levels_of_torchvision():
    photo = np.zeros((2400, 2300, 3), np.uint8)
    photo[:, 1150:] = photo[1201:, :] = 255
    expected = np.asarray(Image.fromarray(photo).resize((256, 267), Image.Resampling.BILINEAR))[22:246, 16:240]
    assert np.abs(Preprocessing(256, 224).crop(photo) - expected.astype(int)).max() <= 2


THREADS = """
from pathlib import Path
import ikomia
import cv2, numpy as np
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from infer_torchvision_resnext.resnext.machine.threads import fixed_threads

def threads():
    return len(list(Path("/proc/self/task").iterdir()))

photo = np.zeros((5000, 6000, 3), np.uint8)
with fixed_threads():
    cv2.setNumThreads(4)
    before = threads()
    Preprocessing(256, 224).crop(photo)
    ours = threads()
    cv2.resize(photo, (3000, 2500), interpolation=cv2.INTER_AREA)
    print(ours - before, threads() - ours)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_a_large_photo_starts_no_threads():
    """A process forked from one with threads, as a data loader's, may wait for them for ever."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    ours, at_once = map(int, done.stdout.split()[-2:])
    assert (ours, at_once > 0) == (0, True)


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (2, 100_000)])
def test_extreme_strips_show_their_middle(shape):
    image = np.zeros((*shape, 3), np.uint8)
    middle = tuple(slice(length // 2 - min(2, length // 2), length // 2 + 2) for length in shape)
    image[middle] = 200
    assert (Preprocessing(256, 224).crop(image) == 200).all()


def test_published_weights_ask_for_these_sizes():
    for weights, sizes in (
        (ResNeXt50_32X4D_Weights.IMAGENET1K_V1, (256, 224)),
        (ResNeXt50_32X4D_Weights.IMAGENET1K_V2, (232, 224)),
    ):
        preset = weights.transforms()
        assert (preset.resize_size[0], preset.crop_size[0], preset.antialias) == (*sizes, True)


@pytest.mark.parametrize(
    ("input_size", "sizes"), [(0, (232, 224)), (224, (232, 224)), (112, (116, 112)), (448, (464, 448)), (1, (1, 1))]
)
def test_another_input_size_keeps_the_framing(input_size, sizes):
    scaled = Preprocessing(232, 224).scaled_to(input_size)
    assert (scaled.resize_size, scaled.crop_size) == sizes


def test_a_view_is_read_without_touching_the_frame(photos):
    frame = photos[0].copy()
    view = frame[10:200:2, 300:20:-1]
    assert np.array_equal(Preprocessing().crop(view), Preprocessing().crop(np.ascontiguousarray(view)))
    assert np.array_equal(frame, photos[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"resize_size": 100, "crop_size": 101},
            "crop_size 101 must be at least 1, at most 4096 and at most resize_size 100",
        ),
        ({"crop_size": 0}, "crop_size 0"),
        ({"std": (0.0, 1.0, 1.0)}, "std above 0"),
    ],
)
def test_impossible_preprocessing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**arguments)
