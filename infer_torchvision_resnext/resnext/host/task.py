"""What the tasks of both plugins are to the host: parameters as a map of strings, a dict of results, factories."""

from ikomia import core, dataprocess
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


class ParamFactory(dataprocess.CTaskParamFactory):
    """Lets parameters be given when the task is created."""

    def __init__(self, name, parameters):
        dataprocess.CTaskParamFactory.__init__(self)
        self.name = name
        self._parameters = parameters

    def create(self):
        return self._parameters()


class TaskFactory(dataprocess.CTaskFactory):
    """Creates a task, and tells the HUB what both plugins have in common.

    Args:
        task: made with a name and parameters or None.
    """

    def __init__(self, name, version, task):
        dataprocess.CTaskFactory.__init__(self)
        self._task = task
        self.info.name = name
        self.info.version = version
        self.info.authors = "Saining Xie, Ross Girshick, Piotr Dollár, Zhuowen Tu, Kaiming He"
        self.info.article = "Aggregated Residual Transformations for Deep Neural Networks"
        self.info.article_url = "https://arxiv.org/abs/1611.05431"
        self.info.journal = "CVPR"
        self.info.year = 2017
        self.info.license = "MIT"
        self.info.documentation_link = "https://docs.pytorch.org/vision/stable/models/resnext.html"
        self.info.original_repository = "https://github.com/pytorch/vision"
        self.info.path = "Plugins/Python/Classification"
        self.info.icon_path = "icons/icon.png"
        self.info.min_ikomia_version = "0.16.1"
        self.info.min_python_version = "3.10.0"
        self.info.algo_tasks = "CLASSIFICATION"
        self.info.hardware_config.min_cpu = 2
        self.info.hardware_config.gpu_required = False
        self.info.hardware_config.min_vram = 0

    def create(self, param=None):
        return self._task(self.info.name, param)
