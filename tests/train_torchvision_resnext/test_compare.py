import csv

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.compare import ComparisonError, Paired, compare, compare_on, main, paired, sentence
from train_torchvision_resnext.evaluated_model import evaluate
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


def test_runs_on_other_images_are_compared_on_those_of_both(runs, capsys):
    one, _, others = runs
    found = compare(one, others)
    assert list(found) == ["validation"]
    assert (found["validation"].images, compare(others, one)["validation"].images) == (32, 32)
    (note,) = found["validation"].notes
    assert note.startswith("left out: 4 images that only the first was judged on, such as val/0/")
    assert main([str(one), str(others)]) == 0
    assert capsys.readouterr().out.splitlines() == [sentence(found["validation"], "validation"), note]


@pytest.fixture(scope="module")
def two_classes(runs, tmp_path_factory):
    """The run of an earlier week: of two of the four classes, with fewer photos."""
    place = tmp_path_factory.mktemp("earlier")
    digits = write_digits(place / "digits", {"train": 12, "val": 7}, labels=range(2))
    return train(digits, read_host_map({**TINY, "output_folder": str(place), "epochs": "1"})).model_folder


def test_a_model_of_two_classes_is_compared_with_one_of_four(runs, two_classes):
    found = compare(two_classes, runs[1])["validation"]
    assert found.images == 14
    left_out, classes = found.notes
    assert left_out.startswith("left out: 22 images that only the second was judged on")
    assert classes == "classes that only the second was judged on: 2, 3"


def test_two_models_are_compared_on_any_folder(runs, two_classes, tmp_path, capsys):
    images = write_digits(tmp_path / "images", {"": 10}, labels=range(5))
    found = compare_on(two_classes, runs[1], images, "cpu")
    assert found.images == 20
    first, second = (evaluate(model, images, "cpu").answers for model in (two_classes, runs[1]))
    shared = second.targets < 2
    right = first.predicted == first.targets, (second.predicted == second.targets)[shared]
    assert found.only_first == (right[0] & ~right[1]).sum()
    assert found.both == (right[0] & right[1]).sum()
    assert "the first: left out 30 images of classes that the model does not know: 2, 3, 4" in found.notes
    assert "the second: left out 10 images of classes that the model does not know: 4" in found.notes
    assert "left out: 20 images that only the second was judged on, such as 2/" in "\n".join(found.notes)
    assert main([str(two_classes), str(runs[1]), "--on", str(images), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("On 20 images, ")
    assert main([str(two_classes), str(runs[1]), "--on", str(tmp_path / "gone")]) == 1
    assert "gone' is not a folder" in capsys.readouterr().err


def test_a_file_with_other_content_is_another_image_where_tables_say_so(tmp_path):
    for run, rows in (("a", ["1.png,cat,cat,aa", "2.png,cat,cat,bb"]), ("b", ["1.png,cat,cat,aa", "2.png,cat,dog,cc"])):
        (tmp_path / run / "report").mkdir(parents=True)
        table = "\n".join(["file,true,predicted,content", *rows])
        (tmp_path / run / "report" / "validation.csv").write_text(table, encoding="utf-8")
    found = compare(tmp_path / "a", tmp_path / "b")["validation"]
    assert (found.images, found.both, len(found.notes)) == (1, 1, 2)
    # A table of an earlier version has no contents: names decide.
    (tmp_path / "a" / "report" / "validation.csv").write_text("file,true,predicted\n1.png,cat,cat\n2.png,cat,cat\n")
    found = compare(tmp_path / "a", tmp_path / "b")["validation"]
    assert (found.images, found.only_first, found.notes) == (2, 1, ())


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


def test_a_missing_folder_is_named_as_such(tmp_path, capsys):
    assert main([str(tmp_path / "none"), str(tmp_path)]) == 1
    assert f"{tmp_path / 'none'} is not a folder: expected the folder of a run" in capsys.readouterr().err
