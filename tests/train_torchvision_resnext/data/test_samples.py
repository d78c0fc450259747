from collections import Counter
from pathlib import Path

import pytest

from train_torchvision_resnext.data.samples import Reader, ReadError, Sample, pick
from train_torchvision_resnext.resnext.images.preprocessing import Preprocessing


def samples(*counts):
    return [
        Sample(Path(f"{target}/{number}.png"), target) for target, count in enumerate(counts) for number in range(count)
    ]


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ((5, 5, 5), 32, [5, 5, 5]),
        ((1,), 32, [1]),
        ((100, 100), 32, [16, 16]),
        ((100, 3, 100), 9, [3, 3, 3]),
        ((100, 2, 100), 10, [4, 2, 4]),
        ((0, 50, 0, 1), 8, [7, 1]),
        ((1,) * 100, 32, [1] * 32),
    ],
)
def test_classes_take_turns_until_there_are_enough(counts, most, expected):
    picked = pick(samples(*counts), most, seed=0)
    of_class = Counter(sample.target for sample in picked)
    assert [of_class[target] for target in sorted(of_class)] == expected


def test_what_is_picked_depends_on_the_seed_alone_and_keeps_its_order():
    everything = samples(40, 40, 40)
    picked = pick(everything, 10, seed=3)
    assert picked == pick(everything, 10, seed=3)
    assert picked != pick(everything, 10, seed=4)
    assert list(picked) == sorted(picked, key=everything.index)


def test_not_only_the_first_classes_are_picked_where_there_are_many():
    assert max(sample.target for sample in pick(samples(*(3,) * 200), 32, seed=0)) > 32


def test_an_image_that_has_gone_is_named(tmp_path):
    with pytest.raises(ReadError, match=r"gone\.png could be read when training began, and now cannot"):
        Reader(Preprocessing(36, 32)).crops([Sample(tmp_path / "gone.png", 0)])
