import pytest

from infer_torchvision_resnext.resnext.machine.printable import shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tabby cat", "tabby cat"),
        ("café, 三毛猫, 🐝", "café, 三毛猫, 🐝"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("one\ntwo\r\tthree\u2028four", r"one\ntwo\r\tthree\u2028four"),
        ("gnp.\u202ecat", r"gnp.\u202ecat"),
        ("caf\udce9", r"caf\udce9"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("<b>", "<b>"),
        ("", ""),
    ],
)
def test_what_is_not_seen_is_written_out(text, expected):
    assert shown(text) == expected
    shown(text).encode("utf-8")
    assert shown(shown(text)) == shown(text)
