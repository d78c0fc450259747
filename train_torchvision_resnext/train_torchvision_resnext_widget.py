"""Creates the form in STUDIO."""

from ikomia import dataprocess

from train_torchvision_resnext import NAME
from train_torchvision_resnext.parameters.task import Parameters, read_host_map
from train_torchvision_resnext.resnext.host.form_widget import FormWidget
from train_torchvision_resnext.resnext.host.task import HostParameters


class TrainResNeXtWidgetFactory(dataprocess.CWidgetFactory):
    """Called by the host when the form is opened."""

    def __init__(self):
        dataprocess.CWidgetFactory.__init__(self)
        self.name = NAME

    def create(self, param):
        return FormWidget(
            HostParameters(Parameters, read_host_map) if param is None else param, Parameters, read_host_map
        )
