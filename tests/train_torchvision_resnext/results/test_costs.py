"""What wrong answers cost, from the user's table through training and the model folder to inference's answers."""

import csv
import json
import shutil

import numpy as np
import pytest

from infer_torchvision_resnext.classifier import Classifier
from infer_torchvision_resnext.model.cache import Cache
from infer_torchvision_resnext.model.weights import WeightsError, load_model
from infer_torchvision_resnext.parameters.task import Parameters as InferenceParameters
from infer_torchvision_resnext.resnext.folder.model_folder import read_config
from infer_torchvision_resnext.resnext.images.files import read_image
from tests.image_folders import TINY, write_digits
from train_torchvision_resnext.parameters import read_host_map
from train_torchvision_resnext.resnext.host.schema import ParameterError
from train_torchvision_resnext.resnext.trust.evidence import read_evidence
from train_torchvision_resnext.run.progress import Listener, TrainingError
from train_torchvision_resnext.training import train

TABLE = ",0,1,2\n0,0,1,1\n1,1,0,1\n2,5,5,0\n"
"""To miss a 2 costs five times what other mistakes do."""

COSTS = np.array([[0, 1, 1], [1, 0, 1], [5, 5, 0]])


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), {"train": 20, "val": 40})


@pytest.fixture
def table(tmp_path):
    (tmp_path / "costs.csv").write_text(TABLE)
    return tmp_path / "costs.csv"


def settings(folder, **values):
    return read_host_map({**TINY, "output_folder": str(folder), **{key: str(value) for key, value in values.items()}})


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    place = tmp_path_factory.mktemp("costly")
    (place / "costs.csv").write_text(TABLE)
    asked = settings(place / "runs", cost_matrix=place / "costs.csv", best_epoch_by="expected_cost", epochs=5)
    return train(digits, asked)


def rows_of(trained):
    with (trained.model_folder / "report" / "validation.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics_of(trained):
    return json.loads((trained.model_folder / "metrics.json").read_text(encoding="utf-8"))


def answers_of(trained, digits, **asked):
    classifier = Classifier()
    fixed = {"weights": str(trained.model_folder), "device": "cpu", "runtime": "torch", "unknown_sensitivity": 0}
    classifier.prepare(InferenceParameters(**fixed, **asked))
    return classifier.classify([read_image(digits / row["file"]) for row in rows_of(trained)])


def test_inference_gives_the_answers_of_least_cost_that_the_training_tells(trained, digits):
    rows = rows_of(trained)
    found = answers_of(trained, digits)
    assert [each.answer for each in found] == [row["answer_of_least_cost"] for row in rows]
    probable = answers_of(trained, digits, decide_by="probability", target_precision=0)
    assert [each.answer for each in probable] == [row["predicted"] for row in rows]
    for each, row in zip(found, rows, strict=True):
        # By hand, from the table and the probabilities of all three classes.
        probability = np.zeros(3)
        probability[list(each.indices)] = each.probabilities
        assert each.costs == pytest.approx(sorted(probability @ COSTS))
        assert each.index == np.argmin(probability @ COSTS)
        assert probability[int(row["true"])] == pytest.approx(float(row["calibrated_probability_of_true"]), abs=1e-5)


def test_the_folders_costs_change_the_answer(trained):
    probabilities = np.array([[0.5, 0.2, 0.3], [0.8, 0.1, 0.1]])
    # By hand: to answer 0, 1 or 2 costs 1.7, 2.0 or 0.7 for the first, 0.6, 1.3 or 0.9 for the second.
    assert read_config(trained.model_folder).costs.decide(probabilities).tolist() == [2, 0]


def test_metrics_and_report_tell_what_both_ways_to_decide_cost(trained):
    rows, told = rows_of(trained), metrics_of(trained)["trust"]["costs"]
    for by, column in (("cost", "answer_of_least_cost"), ("probability", "predicted")):
        spent = [COSTS[int(row["true"]), int(row[column])] for row in rows]
        assert told[by]["mean_cost"] == pytest.approx(np.mean(spent))
        assert told[by]["right"] == pytest.approx(np.mean([row["true"] == row[column] for row in rows]))
    page = (trained.model_folder / "report" / "report.html").read_text(encoding="utf-8")
    assert f"Answers of least expected cost, which inference gives, cost {told['cost']['mean_cost']:.4g}" in page


def test_the_epoch_kept_is_that_of_least_expected_cost(trained):
    costs = [row["val_expected_cost"] for row in trained.history]
    least = min(trained.history, key=lambda row: (row["val_expected_cost"], row["val_loss"]))
    assert trained.best_epoch == least["epoch"]
    metrics = metrics_of(trained)
    assert (metrics["best_epoch"], metrics["best_epoch_by"]) == (trained.best_epoch, "expected_cost")
    assert f"the best by expected cost {min(costs):.4g}" in "; ".join(trained.notes)


def test_promises_are_about_the_answers_that_are_given(trained):
    evidence, rows = read_evidence(trained.model_folder), rows_of(trained)
    assert [str(index) for index in evidence.predicted] == [row["answer_of_least_cost"] for row in rows]
    of_true = [float(row["calibrated_probability_of_true"]) for row in rows]
    assert evidence.true_probability == pytest.approx(of_true, abs=1e-6)


def test_the_folder_holds_the_table_and_refuses_another(trained, tmp_path):
    folder = shutil.copytree(trained.model_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["resnext"]["costs"] == COSTS.tolist()
    for costs, message in (
        (
            [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
            r"costs is '[0-9a-f]{16}' in the folder's config\.json, but was '[0-9a-f]{16}'",
        ),
        (None, r"costs is None in the folder's config\.json, but was '[0-9a-f]{16}'"),
        ([[0, 1], [1, 0]], r"resnext\.costs has 2 rows of \[2\], expected 3 of each"),
        ([[0, 1, 1], [1, 0, 1], [-1, 1, 0]], "2 taken for 0 costs -1, expected a number of at least 0"),
        ([[0, 1, 1], [1, 0, 1], ["x", 1, 0]], r"resnext\.costs\.2\.0: Input should be a valid number"),
    ):
        config["resnext"]["costs"] = costs
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(WeightsError, match=message):
            load_model(InferenceParameters(weights=str(folder)), Cache())


def test_what_is_wrong_with_the_table_is_told_before_training_with_all_other_problems(digits, table, tmp_path):
    table.write_text(TABLE.replace("2,5", "two,5"))
    with pytest.raises(TrainingError) as caught:
        train(digits, settings(tmp_path / "runs", cost_matrix=table, device="cuda:9"))
    device, costs = caught.value.problems
    assert "device = 'cuda:9'" in device
    assert costs == (
        f"cost_matrix = '{table}': its first column lacks '2'; its first column has the unknown classes 'two'"
    )


def test_without_a_table_no_epoch_is_best_by_its_cost(tmp_path):
    with pytest.raises(
        ParameterError, match="best_epoch_by = 'expected_cost': what answers cost is not known; set cost_"
    ):
        settings(tmp_path, best_epoch_by="expected_cost")


@pytest.fixture
def stopped(digits, table, tmp_path, no_report):
    """The folder of a run that was stopped in its second epoch."""
    rows = []
    listener = Listener(epoch=rows.append, stop_requested=lambda: bool(rows))
    result = train(digits, settings(tmp_path / "runs", cost_matrix=table, best_epoch_by="expected_cost"), listener)
    return result.model_folder.parent


def test_a_run_goes_on_with_its_own_measure_and_costs_only(stopped, digits, table, tmp_path):
    def resume(**values):
        return train(digits, settings(tmp_path / "runs", **{"cost_matrix": table, "resume": stopped, **values}))

    with pytest.raises(TrainingError, match="cannot go on: best_epoch_by was 'expected_cost', now it is 'loss'"):
        resume(best_epoch_by="loss")
    (tmp_path / "other.csv").write_text(TABLE.replace("5", "6"))
    with pytest.raises(TrainingError, match="cannot go on: cost_matrix holds other costs"):
        resume(best_epoch_by="expected_cost", cost_matrix=tmp_path / "other.csv")
    moved = table.rename(tmp_path / "moved.csv")
    assert not resume(best_epoch_by="expected_cost", cost_matrix=moved).stopped


def test_auto_says_why_it_passed_over_an_interrupted_run(stopped, digits, table, tmp_path):
    again = train(digits, settings(tmp_path / "runs", cost_matrix=table, resume="auto", epochs=3))
    (note,) = (note for note in again.notes if note.startswith("resume=auto"))
    assert note.endswith(f"; {stopped.name} was passed over: best_epoch_by was 'expected_cost', now it is 'top1'")
