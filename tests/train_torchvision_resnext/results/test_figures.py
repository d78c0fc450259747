"""The figures of a training as they are published: in metrics.json, the tables and the page, beside scikit-learn's."""

import csv
import json
import re
from html import unescape

import numpy as np
import pytest
from sklearn import metrics

from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.metrics.evaluation import evaluate
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.results.answers import FORMULA, cell
from train_torchvision_resnext.training import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trained for an epoch only, so that there are mistakes to count."""
    place = tmp_path_factory.mktemp("figures")
    digits = write_digits(place / "digits", {"train": 12, "val": 9, "test": 7}, labels=range(6))
    (digits / "train" / "5").rename(digits / "train" / "=1+1 <b>")
    (digits / "val" / "5").rename(digits / "val" / "=1+1 <b>")
    (digits / "test" / "5").rename(digits / "test" / "=1+1 <b>")
    values = {**TINY, "epochs": "2", "output_folder": str(place / "runs")}
    return train(digits, read_host_map(values))


def answers(trained, name):
    with (trained.model_folder / "report" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("part", "table"), [("validation", "validation.csv"), ("test", "test.csv")])
def test_metrics_json_and_the_tables_are_scikit_learns(part, table, trained):
    rows = answers(trained, table)
    figures = json.loads((trained.model_folder / "metrics.json").read_text(encoding="utf-8"))[part]
    true, predicted = ([row[column] for row in rows] for column in ("true", "predicted"))
    labels = ["0", "1", "2", "3", "4", "'=1+1 <b>"]
    assert figures["count"] == len(rows)
    assert figures["top1"] == pytest.approx(metrics.accuracy_score(true, predicted))
    assert figures["confusion"] == metrics.confusion_matrix(true, predicted, labels=labels).tolist()
    for name, score in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        each = score(true, predicted, labels=labels, average=None, zero_division=0)
        assert [row[name] for row in figures["per_class"]] == pytest.approx(each)
        present = sorted(set(true) | set(predicted))
        mean = score(true, predicted, labels=present, average="macro", zero_division=0)
        assert figures[f"macro_{name}"] == pytest.approx(mean)
    assert figures["macro_recall"] == pytest.approx(metrics.balanced_accuracy_score(true, predicted))
    # The probability of the true class is the likelihood, whose mean logarithm is the loss.
    of_true = np.array([float(row["probability_of_true"]) for row in rows])
    assert figures["loss"] == pytest.approx(-np.log(of_true).mean(), rel=1e-5)


def test_the_page_says_what_metrics_json_says(trained):
    figures = json.loads((trained.model_folder / "metrics.json").read_text(encoding="utf-8"))
    page = (trained.model_folder / "report" / "report.html").read_text(encoding="utf-8")
    text = unescape(re.sub(r"<[^>]+>", " ", page))
    validation, test = figures["validation"], figures["test"]
    right = round(validation["top1"] * validation["count"])
    assert f"{right} of {validation['count']} images right, 6 classes" in text
    for figure in (validation["top1"], validation["macro_f1"], validation["top5"]):
        assert f"{100 * figure:.1f} %" in text
    assert f"{validation['loss']:.3f}" in text
    for row in validation["per_class"]:
        cells = f"{row['label']} {row['support']} {row['predicted']}"
        shares = " ".join(f"{100 * row[name]:.1f} %" for name in ("precision", "recall", "f1"))
        assert f"{cells} {shares}" in " ".join(text.split())
    assert f"top-1 {100 * test['top1']:.1f} % of {test['count']}" in " ".join(text.split())
    assert "=1+1 <b>" in text
    assert "<b>" not in page


def test_test_images_are_judged_once_and_choose_nothing(trained):
    """The best epoch is that of the validation images; `test` is a figure of the model that was kept."""
    assert trained.test.count == 42
    best = max(trained.history, key=lambda row: (row["val_top1"], -row["val_loss"]))
    assert trained.best_epoch == best["epoch"]
    assert not [key for row in trained.history for key in row if key.startswith("test")]
    assert {row["file"].split("/")[0] for row in answers(trained, "test.csv")} == {"test"}
    assert {row["file"].split("/")[0] for row in answers(trained, "validation.csv")} == {"val"}


def test_a_stopped_training_judges_the_test_images_too(tmp_path):
    from train_torchvision_resnext.run.progress import Listener

    digits = write_digits(tmp_path / "digits", {"train": 12, "val": 3, "test": 3})
    rows = []
    listener = Listener(epoch=rows.append, stop_requested=lambda: bool(rows))
    result = train(digits, read_host_map({**TINY, "output_folder": str(tmp_path / "runs")}), listener)
    assert result.stopped
    assert result.test.count == 9
    assert len(answers(result, "test.csv")) == 9


@pytest.mark.parametrize("beginning", FORMULA)
def test_no_name_is_a_formula_to_a_spreadsheet(beginning):
    assert cell(f"{beginning}HYPERLINK(1)").startswith("'")
    assert cell(f"a{beginning}1") == "a" + cell(beginning).removeprefix("'") + "1"


def test_equal_answers_are_in_the_order_of_their_classes():
    """Everywhere: in what is predicted, in the ranks of top-1 and top-5, and in what inference answers."""
    from infer_torchvision_resnext.answers.predictions import top_k

    logits = np.zeros((8, 8), np.float32)
    logits[3, 5] = logits[3, 2] = 1
    evaluation = evaluate(logits, np.arange(8), tuple("abcdefgh"))
    predicted = [0, 0, 0, 2, 0, 0, 0, 0]
    assert [sum(row) for row in zip(*evaluation.confusion, strict=True)] == [7, 0, 1, 0, 0, 0, 0, 0]
    # Of the true classes only the first is answered first; those of rank 5 and beyond are not among the best five,
    # and d, behind two larger logits and a, b, is the fifth.
    assert evaluation.top1 == 1 / 8
    assert evaluation.top5 == 5 / 8
    softmaxed = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = top_k(softmaxed.astype(np.float64), tuple("abcdefgh"), 8)
    assert [answer.indices[0] for answer in found] == predicted
    assert found[0].indices == tuple(range(8))
    assert found[3].indices == (2, 5, 0, 1, 3, 4, 6, 7)


@pytest.mark.parametrize(
    "content",
    [
        '{"version": 1, "findings": [{"content_hash": "a", "width": "wide", "height": 2}]}',
        '{"version": 1, "findings": [{"content_hash": ["a"], "width": 2, "height": 2}]}',
        '{"version": 1, "findings": [3]}',
        "[]",
        "[" * 100_000,
        "\0",
    ],
)
def test_a_damaged_cache_of_images_is_an_empty_one(content, trained, tmp_path, caplog):
    from train_torchvision_resnext.data.audit import Cache

    file = tmp_path / ".images.json"
    file.write_text(content)
    assert len(Cache(file).findings) == 0
    assert "is not a cache of images, all are decoded again" in caplog.text
