import pytest

from infer_torchvision_resnext.resnext.trust.unknown import distinct_labels


@pytest.mark.parametrize(
    ("labels", "distinct"),
    [
        (("ant", "unknown words"), ("ant", "unknown words")),
        (("unknown", "ant"), ("unknown (class)", "ant")),
        ((" Unknown", "UNKNOWN"), ("Unknown (class)", "UNKNOWN (class)")),
        (("unknown", "unknown (class)"), ("unknown (class) (class)", "unknown (class)")),
    ],
)
def test_no_class_has_the_name_of_the_answer_that_is_none(labels, distinct):
    assert distinct_labels(labels) == distinct
