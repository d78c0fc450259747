"""Text of others, such as a label or a file's name, made harmless for terminals, logs and tables."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet computes."""

JOINERS = "\u200c\u200d"
"""Invisible, but a part of emoji and of Persian words."""


def shown(text: object) -> str:
    """The text with everything invisible written out: escape sequences, line breaks, bytes that are not UTF-8.

    A terminal obeys escape sequences, and turns text around at marks of direction; what is written in UTF-8 must not
    hold the surrogates by which Python keeps file names that are none.
    """
    return "".join(each if each.isprintable() or each in JOINERS else _escaped(each) for each in str(text))


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]
