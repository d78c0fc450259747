"""What cardinality buys: architectures compared by cost, speed and accuracy at an equal budget.

`python -m examples.cardinality` on the command line; in Python:

```python
from examples.cardinality import Experiment, compare

compare(Experiment.of(["resnet50", "resnext50_32x4d"], "data/ants", epochs=15, seeds=3), "bench/ants")
```
"""

from examples.cardinality.compare import compare
from examples.cardinality.experiment import Experiment

__all__ = ["Experiment", "compare"]
