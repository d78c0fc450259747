"""What the tasks of both plugins are to the host: a map of strings for parameters, and a dict of results."""

from ikomia import core
from ikomia.dataprocess.io import DataDictIO


class HostParameters(core.CWorkflowTaskParam):
    """The host's view of typed parameters: a map of strings.

    Args:
        read: strings → typed parameters; raises `ParameterError`, with all problems.
        old_keys: of the HUB's earlier plugin, which `read` understands. The host drops keys that are not listed.
    """

    def __init__(self, read, old_keys=()):
        core.CWorkflowTaskParam.__init__(self)
        self.read = read
        self.parameters = read({})
        self._old_keys = old_keys

    def set_values(self, values):
        self.parameters = self.read(values)

    def get_values(self):
        return {**self.parameters.to_strings(), **dict.fromkeys(self._old_keys, "")}


class ChecksParameters:
    """Of a task whose parameters are `HostParameters`; stands before the host's class."""

    def set_parameters(self, values):
        """Set parameters by a dict; keys left out keep their values. Raises: ParameterError, with all problems."""
        # The host drops unknown keys without a word.
        self.get_param_object().read({**self.get_parameters(), **values})
        super().set_parameters({key: str(value) for key, value in values.items()})


class Results(DataDictIO):
    """The machine-readable output. What a caller took from it stays whole when the next run clears it."""

    def clear_data(self):
        self.data = {}

    def save(self, path):
        # The host's automatic saving gives a path without a suffix, and `.json` belongs to the graphics output.
        super().save(path if path.endswith(".json") else f"{path}_results.json")
