import base64
import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import ikomia  # noqa: F401  (its OpenCV must come before any other)
import numpy as np
import pytest
from PIL import Image

from tools.package import files_of
from train_torchvision_resnext.data.samples import Sample
from train_torchvision_resnext.metrics.evaluation import evaluate
from train_torchvision_resnext.resnext.trust.costs import Costs
from train_torchvision_resnext.results.answers import Answers
from train_torchvision_resnext.results.charts import class_bars, confusion_matrix, learning_curves, short
from train_torchvision_resnext.results.mistakes import grid, ranked
from train_torchvision_resnext.results.report import TEMPLATE, Section, write_report

PICTURES = ["learning_curves.png", "confusion_matrix.png", "per_class.png", "worst_mistakes.png"]
HISTORY = [
    {"epoch": 1, "train_loss": 1.5, "val_loss": 1.25, "val_top1": 0.25, "val_top5": 1.0, "learning_rate": 0.1},
    {"epoch": 2, "train_loss": 1.0, "val_loss": 1.0, "val_top1": 0.5, "val_top5": 1.0, "learning_rate": 0.01},
]


@pytest.fixture
def images(tmp_path):
    """Four images in two folders: small, large, flat, and one that is none."""
    sizes = {"ants/small.png": (8, 8), "ants/large.jpg": (900, 500), "bees/flat.png": (400, 3)}
    for name, size in sizes.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "orange").save(tmp_path / "data" / name)
    (tmp_path / "data" / "bees" / "broken.jpg").write_bytes(b"no image")
    return [tmp_path / "data" / name for name in (*sizes, "bees/broken.jpg")]


TARGETS = np.array([0, 0, 1, 1])
#                    right     sure mistake  unsure mistake  right
LOGITS = np.array([[3, 0], [0, 4], [0.5, 0], [0, 1]], np.float32)


def answers(files, logits=LOGITS, targets=TARGETS, labels=("ants", "bees")):
    return Answers.judge([Sample(*each) for each in zip(files, targets, strict=True)], logits, labels)


def write(folder, files, *, history=HISTORY, sections=(), **given):
    return write_report(folder, answers(files, **given), history, sections)


class _Page(HTMLParser):
    """Texts, tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def test_exact_files(tmp_path, images):
    folder = tmp_path / "model" / "report"
    written = write(folder, images)
    assert [path.name for path in written] == [*PICTURES, "report.html"]
    assert sorted(folder.iterdir()) == sorted(written)
    for path in written[:-1]:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10, f"{path.name} is empty"


def test_without_epochs_there_are_no_curves(tmp_path, images):
    written = write(tmp_path / "report", images, history=[])
    assert [path.name for path in written] == [*PICTURES[1:], "report.html"]


def test_page_says_how_good_the_model_is(tmp_path, images):
    page = write(tmp_path / "report", images)[-1].read_text(encoding="utf-8")
    texts = _Page(page).texts
    assert "2 of 4 images right, 2 classes" in texts
    assert "50.0 %" in texts
    assert "95 % interval 15.0 % to 85.0 %" in texts
    assert "Always answering “ants” would be right in 50.0 %" in "".join(texts)
    # The surest mistake comes first: 1 / (1 + e^-4) = 98.2 %.
    assert texts.index("ants/large.jpg") < texts.index("bees/flat.png")
    assert {"98.2 %", "1.8 %"} <= set(texts)
    assert "ants/small.png" not in texts
    # Of two classes, the best five are all there are.
    assert "Top-5 accuracy" not in texts


def test_top5_is_shown_where_it_says_something(tmp_path, images):
    logits = np.eye(6, dtype=np.float32)[[0, 1, 2, 3]]
    page = write(tmp_path / "report", images, labels=tuple("abcdef"), logits=logits, targets=np.array([0, 1, 2, 4]))
    texts = _Page(page[-1].read_text(encoding="utf-8")).texts
    assert "Top-5 accuracy" in texts
    assert any("(e) was never predicted" in text for text in texts)


def test_page_stands_alone(tmp_path, images):
    page = write(tmp_path / "report", images)[-1]
    parsed = _Page(page.read_text(encoding="utf-8"))
    assert "script" not in parsed.tags
    assert "link" not in parsed.tags
    addresses = [value for name, value in parsed.attributes if name in ("src", "href")]
    assert len(addresses) == len(PICTURES)
    inside = [base64.b64decode(address.removeprefix("data:image/png;base64,")) for address in addresses]
    assert inside == [(page.parent / name).read_bytes() for name in PICTURES]
    assert "://" not in re.sub(r"base64,[^\"]*", "", page.read_text(encoding="utf-8"))
    assert any(name == "content" and "default-src 'none'" in value for name, value in parsed.attributes)


def test_every_text_is_escaped_and_kept(tmp_path):
    evil = "<script>alert('1')</script> & \"$x_1$ $body"
    file = tmp_path / "<img src=x>" / "a&b <b>.png"
    file.parent.mkdir()
    Image.new("RGB", (16, 16)).save(file)
    logits = np.array([[0, 1, 0]], np.float32)
    sections = [Section("<h1>Data", ["a < b & c = d"], {"learning_<i>rate": "<i>0.1</i>"})]
    labels = (evil, "甲虫", "<u>")
    written = write(tmp_path / "report", [file], labels=labels, logits=logits, targets=np.array([0]), sections=sections)
    page = _Page(written[-1].read_text(encoding="utf-8"))
    assert not {"script", "i", "u", "b"} & set(page.tags)
    assert page.tags.count("h1") == 1
    assert {evil, "甲虫", "<img src=x>/a&b <b>.png", "<h1>Data", "<i>0.1</i>", "a < b & c = d"} <= set(page.texts)


def test_templates_are_published_with_the_plugin():
    plugin = "train_torchvision_resnext"
    templates = {path.name for path in TEMPLATE.parent.glob("*.jinja")}
    assert {f"{plugin}/results/{name}" for name in templates | {TEMPLATE.name}} <= set(files_of(plugin))


def test_no_mistakes(tmp_path, images):
    written = write(tmp_path / "report", images, logits=np.eye(2, dtype=np.float32)[TARGETS])
    assert [path.name for path in written] == [*PICTURES, "report.html"]
    texts = _Page(written[-1].read_text(encoding="utf-8")).texts
    assert "4 of 4 images right, 2 classes" in texts
    assert "All mistakes" not in texts


def test_answers_are_of_as_many_images_as_samples(images):
    with pytest.raises(
        ValueError, match=r"logits of shape \(4, 2\) and targets of shape \(3,\): expected N x 2 logits"
    ):
        answers(images[:3], targets=TARGETS[:3])


def test_answers_are_ordered(images):
    ordered = ranked(answers(images))
    assert [answer.file.name for answer in ordered] == ["large.jpg", "flat.png", "broken.jpg", "small.png"]
    assert [answer.right for answer in ordered] == [False, False, True, True]
    first = ordered[0]
    assert (first.true, first.predicted, first.name) == ("ants", "bees", "ants/large.jpg")
    assert first.probability == pytest.approx(1 / (1 + np.exp(-4)))
    assert first.true_probability == pytest.approx(1 - 1 / (1 + np.exp(-4)))


def texts_of(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def test_grid_names_what_it_shows(images):
    texts = texts_of(grid(ranked(answers(images))))
    assert {"large.jpg", "bees, 98.2%", "true: ants", "flat.png", "true: bees"} <= set(texts)
    assert "small.png" not in texts


def test_grid_shows_unreadable_files_as_such(images):
    logits = np.array([[3, 0], [3, 0], [0, 3], [3, 0]], np.float32)
    assert "cannot be read" in texts_of(grid(ranked(answers(images, logits))))


def random_evaluation(classes, count=2000):
    random = np.random.default_rng(classes)
    targets = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes)).astype(np.float32)
    logits[np.arange(count), targets] += 3
    # Class 3 is mostly taken for class 1.
    logits[targets == 3, 1] += 4
    return evaluate(logits, targets, [f"class {index}" for index in range(classes)])


def test_small_matrix_names_and_counts_all():
    evaluation = random_evaluation(8)
    texts = texts_of(confusion_matrix(evaluation))
    for label in evaluation.labels:
        assert texts.count(label) == 2, "once as row, once as column"
    assert {str(count) for row in evaluation.confusion for count in row if count} <= set(texts)


def test_large_matrix_names_the_most_confused():
    texts = texts_of(confusion_matrix(random_evaluation(200)))
    assert "All 200 classes, by index" in texts
    assert {"class 1", "class 3"} <= set(texts)
    assert len({text for text in texts if text.startswith("class ")}) == 12


def test_large_matrix_without_confusions():
    targets = np.arange(40)
    evaluation = evaluate(np.eye(40, dtype=np.float32), targets, [f"class {index}" for index in range(40)])
    assert "class 0" in texts_of(confusion_matrix(evaluation))


@pytest.mark.parametrize(("classes", "shown"), [(1, 1), (2, 2), (30, 30), (200, 30)])
def test_class_bars_show_the_worst(classes, shown):
    evaluation = random_evaluation(classes, 4000) if classes > 3 else _evaluation_of(classes)
    rows = [text for text in texts_of(class_bars(evaluation)) if re.search(r"\d+ images?\)", text)]
    assert len(rows) == shown
    worst = min(evaluation.per_class, key=lambda metrics: metrics.f1)
    assert rows[0].startswith(worst.label)


def _evaluation_of(classes):
    targets = np.arange(classes)
    return evaluate(np.eye(classes, dtype=np.float32), targets, [f"class {index}" for index in range(classes)])


def test_curves_have_gaps_and_mark_the_epoch_kept():
    history = [
        {"epoch": 3, "train_loss": float("nan"), "val_loss": 1.0, "val_top1": 0.5},
        {"epoch": 4, "val_loss": 0.75, "val_top1": 0.75, "val_top5": 0.9, "unknown": 3.0},
        {"epoch": 5, "train_loss": 0.5, "val_loss": 0.5, "val_top1": 0.75, "val_top5": 0.95},
    ]
    texts = texts_of(learning_curves(history))
    assert "epoch 5 kept: top-1 75.0 %" in texts
    assert {"training", "validation", "top-1", "top-5"} <= set(texts)
    assert "macro F1" not in texts


def test_curves_show_what_the_best_epoch_was_chosen_by():
    more = [{"val_balanced_accuracy": 0.25, "val_expected_cost": 0.5}, {"val_balanced_accuracy": 0.2}]
    history = [{**row, "val_expected_cost": 2.0, **others} for row, others in zip(HISTORY, more, strict=True)]
    costs, balanced = (texts_of(learning_curves(history, by)) for by in ("expected_cost", "balanced_accuracy"))
    assert {"epoch 1 kept: expected cost 0.5", "Expected cost"} <= set(costs)
    assert "Learning rate" not in costs
    assert {"epoch 1 kept: balanced accuracy 25.0 %", "balanced accuracy"} <= set(balanced)
    assert not {"Expected cost", "balanced accuracy"} & set(texts_of(learning_curves(history)))


def test_the_mistakes_are_told_with_the_probabilities_that_inference_gives(tmp_path, images):
    # The second image: p = 1 / (1 + e^-2) with a temperature of 2, and e^-4 in the place of e^-2 without.
    for temperature, header, probability in (
        (1.0, "P(predicted)", "98.2 %"),
        (2.0, "P(predicted), calibrated", "88.1 %"),
    ):
        folder = tmp_path / str(temperature)
        page = write_report(folder, answers(images).at(temperature), HISTORY, ())[-1].read_text(encoding="utf-8")
        assert (" after calibration; guessing evenly gives " in page) is (temperature == 2)
        assert {header, probability} <= set(_Page(page).texts)


def test_tables_hold_both_probabilities_and_say_which_is_calibrated(tmp_path, images):
    costs = Costs(np.array([[0.0, 1], [99, 0]]))
    file = tmp_path / "answers.csv"
    replace(answers(images), costs=costs).at(2.0).write_csv(file, tmp_path / "data")
    with file.open(encoding="utf-8", newline="") as stream:
        first, second, *_ = csv.DictReader(stream)
    assert [*first] == [
        *("file", "true", "predicted", "probability", "probability_of_true"),
        *("calibrated_probability", "calibrated_probability_of_true", "answer_of_least_cost", "content"),
    ]
    assert float(second["probability"]) == pytest.approx(1 / (1 + np.exp(-4)))
    assert float(second["calibrated_probability"]) == pytest.approx(1 / (1 + np.exp(-2)))
    assert float(second["calibrated_probability_of_true"]) == pytest.approx(1 / (1 + np.exp(2)))
    # Calibrated, the other class has e^-1.5 / (1 + e^-1.5) = 18 %, and costs 99 times as much to miss.
    assert (first["predicted"], first["answer_of_least_cost"]) == ("ants", "bees")


def test_pyplot_is_left_alone(tmp_path, images):
    from matplotlib import pyplot, rcParams

    before = dict(rcParams)
    write(tmp_path / "report", images)
    assert pyplot.get_fignums() == []
    assert dict(rcParams) == before


@pytest.mark.parametrize(
    ("label", "result"), [("ant", "ant"), ("abcdefghij", "abcdefghij"), ("abcdefghijk", "abcd…ghijk")]
)
def test_short_keeps_both_ends(label, result):
    assert short(label, 10) == result


def test_folder_that_cannot_be_written(tmp_path, images):
    (tmp_path / "report").write_text("a file in the way")
    with pytest.raises(FileExistsError):
        write(tmp_path / "report", images)
    assert Path(tmp_path / "report").read_text() == "a file in the way"


def test_what_no_font_has_is_written_out_in_pictures():
    from train_torchvision_resnext.results import charts

    assert charts.short("café") == "café"
    assert charts.short("a\x1bb") == r"a\x1bb"
    # A character of a private use area, which no font of the system's is asked for.
    assert charts.short("a\U0010fff0") == r"a\U0010fff0"
    assert {ord(each) for each in charts.short("三毛 🐝 ⇄", 40)} <= charts._drawable()
