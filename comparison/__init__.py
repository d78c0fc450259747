"""What cardinality buys: architectures compared by cost, speed and accuracy at an equal budget.

`python -m comparison` on the command line; in Python:

```python
from comparison import Experiment, compare

compare(Experiment.of(["resnet50", "resnext50_32x4d"], "data/ants", epochs=15, seeds=3), "bench/ants")
```
"""

from comparison.compare import compare
from comparison.experiment import Experiment

__all__ = ["Experiment", "compare"]
