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
        # Asked for in STUDIO only, which brings PyQt6.
        from train_torchvision_resnext.train_torchvision_resnext_widget import TrainResNeXtWidgetFactory

        return TrainResNeXtWidgetFactory()

    def get_param_factory(self):
        from train_torchvision_resnext.train_torchvision_resnext_process import TrainResNeXtParamFactory

        return TrainResNeXtParamFactory()
