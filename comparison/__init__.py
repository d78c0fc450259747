"""The former name of `examples.cardinality`, kept for scripts that use it."""

from examples.cardinality import Experiment, compare

__all__ = ["Experiment", "compare"]
