"""The door the host knocks on."""

from ikomia import dataprocess


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """Hands the host its factories."""

    def __init__(self):
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self):
        from infer_torchvision_resnext.infer_torchvision_resnext_process import InferResNeXtFactory

        return InferResNeXtFactory()

    def get_widget_factory(self):
        # Asked for in STUDIO only, which brings PyQt6.
        from infer_torchvision_resnext.infer_torchvision_resnext_widget import InferResNeXtWidgetFactory

        return InferResNeXtWidgetFactory()

    def get_param_factory(self):
        from infer_torchvision_resnext.infer_torchvision_resnext_process import InferResNeXtParamFactory

        return InferResNeXtParamFactory()
