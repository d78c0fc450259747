"""Pages that stand alone: pictures are part of them, and their own policy forbids the browser to load anything.

They are templates in jinja2, which escapes whatever it is given. `page.html.jinja` is what all of them extend,
`parts.html.jinja` what they are made of.
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

SCREEN_SCALE = 0.6
"""CSS pixels for a pixel of a picture: the same for all, so that their letters are of one size."""


@dataclass(frozen=True)
class Picture:
    """A PNG file, and what a reader must know to read it."""

    file: Path
    caption: str

    @property
    def width(self) -> int:
        """In CSS pixels."""
        with Image.open(self.file) as picture:
            return round(picture.width * SCREEN_SCALE)

    @property
    def data(self) -> str:
        """The file's content in base64."""
        return base64.b64encode(self.file.read_bytes()).decode("ascii")


def write_page(file: Path, template: Path, **values: object) -> Path:
    """Fill in a template. Raises: OSError."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "thousands": "{:,}".format}
    file.write_text(environment.get_template(template.name).render(values), encoding="utf-8")
    return file


def percent(fraction: float) -> str:
    return f"{fraction:.1%}".replace("%", " %")
