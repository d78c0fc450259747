"""Outputs that become JSON and come back as they were.

The host's own read a table as its first cell alone, raise on an image that is empty, and give nothing of a path.
"""

import json
from itertools import zip_longest

from ikomia import core, dataprocess
from ikomia.dataprocess.io import DataDictIO


class Results(DataDictIO):
    """The machine-readable output. What a caller took from it stays whole when the next run clears it."""

    def __init__(self):
        DataDictIO.__init__(self)
        self.name = "Results"

    def clear_data(self):
        self.data = {}

    def save(self, path):
        # The host's automatic saving gives a path without a suffix, and `.json` belongs to the graphics output.
        super().save(path if path.endswith(".json") else f"{path}_results.json")


class ImageOutput(dataprocess.CImageIO):
    """An image, which may be none."""

    def __init__(self, name):
        dataprocess.CImageIO.__init__(self, core.IODataType.IMAGE, name)

    def from_json(self, json_string):
        """Take over the image of a JSON text; an empty one clears the output."""
        if json.loads(json_string).get("image"):
            super().from_json(json_string)
        else:
            self.clear_data()


class LosslessImageOutput(ImageOutput):
    """An image of which each level counts."""

    def to_json(self, options=None):
        """As PNG, unless `image_format` says otherwise; the host's default is JPEG."""
        options = list(options or ())
        return super().to_json(options if "image_format" in options else [*options, "image_format", "png"])


class TableOutput(dataprocess.CDataStringIO):
    """Columns of texts, each row with a label."""

    def __init__(self):
        dataprocess.CDataStringIO.__init__(self)

    def from_json(self, json_string):
        """Take over the table of a JSON text."""
        table = json.loads(json_string)
        self.clear_data()
        self.set_output_type(dataprocess.NumericOutputType.values[table["outputType"]])
        columns = zip_longest(table["values"], table["headers"], table["valueLabels"])
        for values, header, labels in columns:
            self.add_value_list(values or [], header or "", labels or [])


class FolderOutput(dataprocess.CPathIO):
    """The path of a folder."""

    def __init__(self):
        dataprocess.CPathIO.__init__(self, core.IODataType.FOLDER_PATH)

    def to_json(self, options=None):
        """The path as JSON; empty if there is none."""
        indent = 4 if "indented" in (options or ()) else None
        return json.dumps({"path": self.get_path()}, indent=indent)

    def from_json(self, json_string):
        """Take over the path of a JSON text."""
        self.set_path(json.loads(json_string)["path"])
