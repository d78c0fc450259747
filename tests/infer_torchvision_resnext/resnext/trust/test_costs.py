import numpy as np
import pytest

from infer_torchvision_resnext.resnext.trust.costs import CostError, Costs, answers_of, read_costs

LABELS = ("benign", "malign", "artifact")
TABLE = """,malign,benign,artifact
benign,1,0,2
artifact,4,3,0
malign,0,50,25
"""
COSTS = Costs(np.array([[0.0, 1, 2], [50, 0, 25], [3, 4, 0]]))


def written(tmp_path, text, encoding="utf-8"):
    file = tmp_path / "costs.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (TABLE, "utf-8"),
        (TABLE.replace("\n", "\r\n").replace(",", ", "), "utf-8-sig"),
        (TABLE.replace(",malign,ben", "true,malign,ben") + "\n,,,\n", "utf-8"),
    ],
)
def test_a_table_is_put_into_the_order_of_the_labels(text, encoding, tmp_path):
    assert read_costs(written(tmp_path, text, encoding), LABELS).table.tolist() == COSTS.table.tolist()


def test_without_labels_the_first_row_gives_the_order(tmp_path):
    assert read_costs(written(tmp_path, TABLE)).table.tolist() == [[0, 50, 25], [1, 0, 2], [4, 3, 0]]


def test_labels_are_the_same_however_their_letters_are_composed(tmp_path):
    text = ",bée,ant\nbée,0,1\nant,2,0\n".replace("é", "e\u0301")
    assert read_costs(written(tmp_path, text), ("ant", "b\u00e9e")).table.tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("malign,0,50,25\n", ""), "its first column lacks 'malign'"),
        (("artifact\n", "unclear\n"), "first row lacks 'artifact'; its first row has the unknown classes 'unclear'"),
        (("artifact,4", "benign,4"), "first column lacks 'artifact'; its first column names more than once 'benign'"),
        (("1,0,2", "1,0"), "the row of 'benign' has 2 costs, expected 3"),
        (("1,0,2", "1,0,2,9"), "the row of 'benign' has 4 costs, expected 3"),
        (("25", "a lot"), "'malign' taken for 'artifact' costs 'a lot', expected a number"),
        (("25", ""), "'malign' taken for 'artifact' costs '', expected a number"),
        (("25", "-1"), "'malign' taken for 'artifact' costs -1, expected a number of at least 0"),
        (("25", "inf"), "'malign' taken for 'artifact' costs inf, expected a number of at least 0"),
        (("25", "nan"), "'malign' taken for 'artifact' costs nan, expected a number of at least 0"),
        (("1,0,2", "1,5,2"), "'benign' taken for 'benign' costs 5, expected 0, for a right answer costs nothing"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(change, message, tmp_path):
    with pytest.raises(CostError, match=message):
        read_costs(written(tmp_path, TABLE.replace(*change)), LABELS)


def test_all_wrong_costs_are_named_at_once(tmp_path):
    text = TABLE.replace("1,0,2", "x,1,2").replace("4,3,0", "4,-3,0")
    with pytest.raises(CostError) as caught:
        read_costs(written(tmp_path, text), LABELS)
    assert str(caught.value).split("; ") == [
        "'benign' taken for 'malign' costs 'x', expected a number",
        "'benign' taken for 'benign' costs 1, expected 0, for a right answer costs nothing",
        "'artifact' taken for 'benign' costs -3, expected a number of at least 0",
    ]
    many = ",".join(["", *map(str, range(40))])
    with pytest.raises(CostError, match="and 29 more"):
        read_costs(written(tmp_path, "\n".join([many, *(f"{row}" + ",1" * 39 + ",0" for row in range(40))])))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first row names no answers"),
        (b"a;b\na;0", "first row names no answers: .* with commas between"),
        (b"\xff\xfe,a\na,0", "cannot be read as CSV in UTF-8"),
        (b",a,b\na,0,0\nb,0,0\n", "no wrong answer costs anything"),
    ],
)
def test_files_that_hold_no_costs_are_refused(content, message, tmp_path):
    (tmp_path / "costs.csv").write_bytes(content)
    with pytest.raises(CostError, match=message):
        read_costs(tmp_path / "costs.csv")


def test_missing_and_huge_files_are_refused(tmp_path):
    with pytest.raises(CostError, match="it cannot be read as CSV in UTF-8: No such file"):
        read_costs(tmp_path / "costs.csv")
    with (tmp_path / "costs.csv").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(CostError, match="has 1,073,741,824 bytes, at most 67,108,864"):
        read_costs(tmp_path / "costs.csv")


def test_expected_costs_worked_out_by_hand():
    # 0.9 benign, 0.1 malign: 0.1 * 50; 0.9 * 1; 0.9 * 2 + 0.1 * 25.
    found = COSTS.expected(np.array([[0.9, 0.1, 0.0], [0.99, 0.01, 0.0]]))
    assert found == pytest.approx(np.array([[5.0, 0.9, 4.3], [0.5, 0.99, 2.23]]))


def test_the_answer_is_the_one_that_costs_least_and_not_the_most_probable():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.99, 0.01, 0.0], [0.0, 0.0, 1.0]])
    assert COSTS.decide(probabilities).tolist() == [1, 0, 2]
    assert answers_of(probabilities, COSTS).tolist() == [1, 0, 2]
    assert answers_of(probabilities, None).tolist() == [0, 0, 2]


def test_what_answers_cost_on_average():
    # malign for benign 1, malign right 0, benign for malign 50, benign for artifact 3.
    assert COSTS.mean(np.array([1, 1, 0, 0]), np.array([0, 1, 1, 2])) == (1 + 0 + 50 + 3) / 4


def test_where_all_mistakes_cost_the_same_the_most_probable_class_is_the_answer():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 500)
    assert (Costs(1 - np.eye(7)).decide(probabilities) == probabilities.argmax(axis=1)).all()


def test_of_equal_costs_the_more_probable_class_and_then_the_first():
    # Missing an artifact costs nothing, so that all answers to one cost the same.
    costs = Costs(np.array([[0.0, 2, 2], [2, 0, 2], [0, 0, 0]]))
    assert costs.decide(np.array([[0.1, 0.1, 0.8], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])).tolist() == [0, 2, 0]


@pytest.mark.parametrize("table", [np.zeros((2, 3)), np.zeros(4), np.array([[0.0, -1], [1, 0]]), np.zeros((2, 2))])
def test_what_is_no_table_of_costs_is_refused(table):
    with pytest.raises(CostError):
        Costs(table)


def test_the_digest_tells_tables_apart():
    assert COSTS.digest == Costs(COSTS.table.copy()).digest
    assert COSTS.digest != Costs(COSTS.table * 2).digest
