"""The door the host knocks on."""

from ikomia import dataprocess


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """Hands the host its factories."""

    def __init__(self):
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self):
        from train_torchvision_resnext.train_torchvision_resnext_process import TrainResNeXtFactory

        return TrainResNeXtFactory()

    def get_widget_factory(self):
        return None

    def get_param_factory(self):
        from train_torchvision_resnext.train_torchvision_resnext_process import TrainResNeXtParamFactory

        return TrainResNeXtParamFactory()
