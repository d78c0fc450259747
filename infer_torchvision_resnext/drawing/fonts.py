"""A font that has the letters of a label, whatever its script; where there is none, letters are written as codes."""

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

CANDIDATES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    # Chinese, Japanese and Korean, as Linux, Windows and macOS bring them
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "arial.ttf",
    "msyh.ttc",
    "meiryo.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "Arial Unicode.ttf",
    # others
    "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "Nirmala.ttf",
    "Symbola.ttf",
    "seguisym.ttf",
    "NotoEmoji-Regular.ttf",
)
"""File names that PIL looks for where the system keeps its fonts."""

NO_CHARACTER = "\uffff"
"""Never assigned: what a font shows for it, it shows for whatever it lacks."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Lettering:
    """A text as it can be drawn, and the font to draw it with."""

    text: str
    font: Font


def lettering(text: str, size: int, candidates: tuple[str, ...] = CANDIDATES) -> Lettering:
    """The text in the first font that has the most of its characters; what that lacks is written out.

    Args:
        size: of the letters, in pixels.
        candidates: file names of fonts, or paths.
    """
    own = _pillows_own(size)
    if text.isascii():
        return Lettering(text, own)
    fonts = [font for name in (*candidates, *_brought_along()) if (font := _found(name, size))]
    best = min((*fonts, own), key=lambda font: len(_missing(font, text)))
    missing = _missing(best, text)
    return Lettering("".join(ascii(each)[1:-1] if each in missing else each for each in text), best)


@functools.cache
def _brought_along() -> tuple[str, ...]:
    """DejaVu Sans as matplotlib ships it, which training needs; found without importing it."""
    spec = find_spec("matplotlib")
    places = spec.submodule_search_locations if spec else None
    return tuple(str(Path(place, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")) for place in places or ())


@functools.lru_cache(maxsize=64)
def _pillows_own(size: int) -> Font:
    # Pillow unpacks it anew each time, which takes longer than drawing a caption.
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=64)
def _found(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _missing(font: Font, text: str) -> set[str]:
    """The characters that a font has no glyph for, which it draws all alike."""
    nothing = _drawn(font, NO_CHARACTER)
    return {each for each in set(text) if not each.isascii() and _drawn(font, each) == nothing}


@functools.lru_cache(maxsize=4096)
def _drawn(font: Font, character: str) -> bytes:
    mask = font.getmask(character)
    return bytes(mask.size) if 0 in mask.size else bytes(mask)
