"""The answer `unknown`, which no class may share: a program could not tell one from the other."""

from collections.abc import Sequence

UNKNOWN = "unknown"
"""The answer where there is a doubt."""

SUFFIX = " (class)"


def is_reserved(label: str) -> bool:
    """Whether a class of this label could be mistaken for the answer `unknown`."""
    return label.strip().casefold() == UNKNOWN


def distinct_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels as results show them: a class that is called `unknown`, in any case, becomes `unknown (class)`.

    Training refuses such a class; models of other tools and of earlier versions may have one.
    """
    distinct = list(labels)
    for index, label in enumerate(labels):
        if is_reserved(label):
            distinct[index] = label.strip() + SUFFIX
            while distinct.count(distinct[index]) > 1:
                distinct[index] += SUFFIX
    return tuple(distinct)
