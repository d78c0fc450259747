from tools.update_readme import TRAIN_README, with_training_table


def test_the_readme_has_the_schemas_table():
    text = TRAIN_README.read_text(encoding="utf-8")
    assert with_training_table(text) == text, "run make docs"
