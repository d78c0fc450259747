import pytest
from PIL import ImageFont

from infer_torchvision_resnext.drawing import fonts
from infer_torchvision_resnext.drawing.fonts import _drawn, lettering


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("tabby cat 93.1 %", "tabby cat 93.1 %"),
        ("café", r"caf\xe9"),
        ("三毛", r"\u4e09\u6bdb"),
        ("cat 三", r"cat \u4e09"),
        ("🐝", r"\U0001f41d"),
    ],
)
def test_what_no_font_has_is_written_out_and_never_a_box(text, drawn, monkeypatch):
    monkeypatch.setattr(fonts, "_brought_along", lambda: ())
    found = lettering(text, 20, candidates=("there is no such font.ttf",))
    assert found.text == drawn
    box = _drawn(found.font, "\uffff")
    assert all(_drawn(found.font, each) != box for each in found.text if each != " ")


def test_a_font_that_has_the_letters_is_taken():
    """matplotlib ships DejaVu Sans, which has Cyrillic, Greek and arrows beyond PIL's own."""
    matplotlib = pytest.importorskip("matplotlib")
    dejavu = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    text = "Ѫ ⇄ ☂"
    found = lettering(text, 20, candidates=("missing.ttf", dejavu))
    assert found.text == text
    assert lettering("café", 20, candidates=()).text == "café", "matplotlib's copy was not found"
    assert isinstance(found.font, ImageFont.FreeTypeFont)
    assert found.font.getname()[0] == "DejaVu Sans"
