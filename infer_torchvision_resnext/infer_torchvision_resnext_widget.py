"""Creates the form in STUDIO."""

from ikomia import dataprocess

from infer_torchvision_resnext.infer_torchvision_resnext_process import NAME, InferResNeXtParam
from infer_torchvision_resnext.parameters.task import Parameters, read_host_map
from infer_torchvision_resnext.resnext.host.form_widget import FormWidget


class InferResNeXtWidgetFactory(dataprocess.CWidgetFactory):
    """Called by the host when the form is opened."""

    def __init__(self):
        dataprocess.CWidgetFactory.__init__(self)
        self.name = NAME

    def create(self, param):
        return FormWidget(InferResNeXtParam() if param is None else param, Parameters, read_host_map)
