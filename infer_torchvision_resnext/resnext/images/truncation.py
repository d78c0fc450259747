"""Whether a JPEG or PNG file ends before its picture does, which decoders pass over, filling the rest with gray.

The file's structure is followed to the end of its first image. Previews inside it, and what cameras append (a video, a
second image, a depth map), therefore count for nothing.
"""

import re

JPEG = b"\xff\xd8"
PNG = b"\x89PNG\r\n\x1a\n"

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Within compressed data FF is followed by 00, and D0 to D7 are restart markers."""

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_BETWEEN_SCANS = {0xC4, 0xCC, _SCAN, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}
"""Tables, scans, application data and comments: what may follow a scan of an image that goes on."""


def cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG file lacks the end of its first image; False for every other format."""
    if content.startswith(JPEG):
        return _jpeg_cut_short(content)
    return content.startswith(PNG) and _png_cut_short(content)


def _jpeg_cut_short(content: bytes) -> bool:
    position, marker_of = len(JPEG), _MARKER
    while found := marker_of.search(content, position):
        marker, position = content[found.start() + 1], found.end()
        if marker == _END:
            return False
        if marker_of is _MARKER_IN_SCAN and marker not in _BETWEEN_SCANS:
            # Another image begins within this one; or a byte is damaged, unless the file goes on as something else.
            if marker == _START or not _ends_as_jpeg(content):
                return True
            continue
        if marker in _WITHOUT_LENGTH or marker == _START:
            continue
        length = int.from_bytes(content[position : position + 2], "big")
        position += max(2, length)
        if marker == _SCAN:
            marker_of = _MARKER_IN_SCAN
        elif marker_of is _MARKER_IN_SCAN and content[position : position + 1] != b"\xff":
            # No marker but damage, or the beginning of something else: another marker follows a table at once.
            return not _ends_as_jpeg(content)
    return True


def _ends_as_jpeg(content: bytes) -> bool:
    return content[-64:].rstrip(b"\0\r\n ").endswith(b"\xff\xd9")


def _png_cut_short(content: bytes) -> bool:
    position = len(PNG)
    # A chunk is its length, its name, the data and four bytes of checksum.
    while (name := content[position + 4 : position + 8]) != b"IEND":
        position += 12 + int.from_bytes(content[position : position + 4], "big")
        if not name or position > len(content):
            return True
    return False
