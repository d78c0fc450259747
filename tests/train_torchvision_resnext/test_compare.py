import csv
import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.compare import ComparisonError, Paired, compare, main, paired, sentence
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.training import train


def test_models_are_told_apart_by_the_images_that_only_one_answers_right():
    first = {f"{number}.png": number < 70 for number in range(100)}
    second = {f"{number}.png": 3 <= number < 82 for number in reversed(range(100))}
    found = paired(first, second)
    assert found == Paired(both=67, only_first=3, only_second=12, images=100)
    assert found.difference == pytest.approx(0.09)
    assert found.p_value == pytest.approx(binomtest(3, 15).pvalue)
    # 4 / 102 and 13 / 102: 0.08824 +- 1.95996 * sqrt((0.16667 - 0.00779) / 102).
    assert found.interval == pytest.approx((0.01088, 0.16559), abs=1e-5)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    random = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        both, only_first, only_second, _ = random.multinomial(80, [0.7, 0.05, 0.15, 0.1])
        low, high = Paired(both, only_first, only_second, 80).interval
        held.append(low <= 0.1 <= high)
    assert 0.94 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("counts", [(0, 0), (1, 1), (4, 4), (3000, 3000)])
def test_equally_good_models_do_not_differ(counts):
    found = Paired(50, *counts, 50 + sum(counts))
    assert found.p_value == 1
    assert found.interval[0] == pytest.approx(-found.interval[1])
    assert found.interval[1] > 0
    assert "neither is shown to be better" in sentence(found, "validation")


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((0, 5), "neither is shown to be better"),  # p = 2 / 32
        ((0, 6), "the second is better"),  # p = 2 / 64
        ((6, 0), "the first is better"),
    ],
)
def test_the_sentence_says_which_is_better_where_that_is_shown(counts, verdict):
    assert verdict in sentence(Paired(80, *counts, 100), "test")


def test_the_sentence_in_full():
    assert sentence(Paired(67, 3, 12, 100), "validation") == (
        "On 100 validation images, 70.0 % and 79.0 % right, the second is better: +9.0 points, 95 % interval +1.1 to "
        "+16.6; only the first answers 3 right, only the second 12; p = 0.035, McNemar's exact test."
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two trainings of one and of four epochs on the same digits, and one on other ones."""
    place = tmp_path_factory.mktemp("compare")
    digits = write_digits(place / "digits", {"train": 12, "val": 9, "test": 7}, labels=range(4))
    others = write_digits(place / "others", {"train": 12, "val": 8}, labels=range(4))
    values = {**TINY, "output_folder": str(place / "runs")}
    trained = [
        train(images, read_host_map({**values, "epochs": epochs})).model_folder.parent
        for images, epochs in ((digits, "1"), (digits, "4"), (others, "1"))
    ]
    return tuple(trained)


def right(run, table):
    with (run / "model" / "report" / table).open(encoding="utf-8", newline="") as stream:
        return np.array([row["true"] == row["predicted"] for row in csv.DictReader(stream)])


def test_two_runs_are_compared_on_validation_and_test_images(runs, capsys):
    one, four, _ = runs
    found = compare(one, four / "model")
    assert list(found) == ["validation", "test"]
    for part, table in (("validation", "validation.csv"), ("test", "test.csv")):
        first, second = right(one, table), right(four, table)
        assert found[part].images == len(first)
        assert found[part].difference == pytest.approx(second.mean() - first.mean())
        assert found[part].only_first == (first & ~second).sum()
    assert main([str(one), str(four)]) == 0
    assert capsys.readouterr().out.splitlines() == [sentence(each, part) for part, each in found.items()]


def test_runs_on_other_images_are_refused(runs, capsys):
    for first, second in itertools.permutations((runs[0], runs[2])):
        with pytest.raises(ComparisonError, match="are of different images: 4 are in one of them only"):
            compare(first, second)
    assert main([str(runs[0]), str(runs[2])]) == 1
    assert "train both on the same folder" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "file,true\na.png,cat\n", "file,true,predicted\n", "\x00"])
def test_a_folder_without_answers_is_refused(runs, tmp_path, content):
    if content is not None:
        (tmp_path / "report").mkdir()
        (tmp_path / "report" / "validation.csv").write_text(content, encoding="utf-8")
    with pytest.raises(
        ComparisonError, match=r"validation\.csv (is no table of|holds no) answers.*: train the run again"
    ):
        compare(runs[0], tmp_path)


def test_an_image_of_another_class_is_another_image(tmp_path):
    tables = []
    for run, name in (("a", "cat"), ("b", "dog")):
        (tmp_path / run / "report").mkdir(parents=True)
        table = tmp_path / run / "report" / "validation.csv"
        table.write_text(f"file,true,predicted\n1.png,{name},cat\n", encoding="utf-8")
        tables.append(tmp_path / run)
    with pytest.raises(
        ComparisonError, match=r"2 are in one of them only, or of another class there, such as 1\.png \(cat\)"
    ):
        compare(*tables)
