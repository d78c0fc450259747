"""What the tasks of both plugins are to the host: parameters as a map of strings, factories."""

from ikomia import core, dataprocess

from .other_keys import other_keys
from .schema import ParameterError
from .viewers import offer_viewers

offer_viewers()


class HostParameters(core.CWorkflowTaskParam):
    """The host's view of typed parameters: a map of strings.

    Values that are refused are held as they are, so that a workflow file that has some opens, shows them and saves them
    again.

    Args:
        schema: what can be set.
        read: strings → an instance of the schema; raises `ParameterError`, with all problems.

    Attributes:
        strict: refuse wrong values at once, and list the keys of other plugins, because the host drops keys that are
            not listed: for parameters that are given in Python when a task is created.
    """

    def __init__(self, schema, read):
        core.CWorkflowTaskParam.__init__(self)
        self.schema = schema
        self.read = read
        self.strict = False
        self._parameters = read({})
        self._refused = {}

    @property
    def parameters(self):
        """Raises: ParameterError, with all problems, while refused values are held."""
        return self.read(self._refused) if self._refused else self._parameters

    def set_values(self, values):
        """Called by the host, also while it opens a workflow file, which fails as a whole when this raises."""
        try:
            self._parameters, self._refused = self.read(values), {}
        except ParameterError:
            if self.strict:
                raise
            self._refused = {key: str(value) for key, value in values.items()}

    def get_values(self):
        listed = other_keys(self.schema.model_fields) if self.strict else ()
        empty = dict.fromkeys((*self.schema.OLD_KEYS, *listed), "")
        return {**self._parameters.to_strings(), **empty, **self._refused}


class ChecksParameters:
    """Of a task whose parameters are `HostParameters`; stands before the host's class."""

    def set_parameters(self, values):
        """Set parameters by a dict; keys left out keep their values. Raises: ParameterError, with all problems."""
        held, schema = self.get_param_object(), self.get_param_object().schema
        current, _ = schema.translate(held.get_values())
        # What is set now by a key of another plugin does not contradict what was set before by ours.
        replaced = {schema.STANDS_FOR.get(key) for key, value in values.items() if str(value).strip()} - values.keys()
        accepted = held.read({key: value for key, value in current.items() if key not in replaced} | dict(values))
        # All of them, in our keys: the host drops those that are not listed.
        super().set_parameters({**accepted.to_strings(), **dict.fromkeys(schema.OLD_KEYS, "")})


class ParamFactory(dataprocess.CTaskParamFactory):
    """Lets parameters be given when the task is created."""

    def __init__(self, name, parameters):
        dataprocess.CTaskParamFactory.__init__(self)
        self.name = name
        self._parameters = parameters

    def create(self):
        parameters = self._parameters()
        parameters.strict = True
        return parameters


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
