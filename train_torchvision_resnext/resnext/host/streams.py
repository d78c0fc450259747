"""Output never fails because of what the terminal, pipe or file behind it can encode.

On Windows, redirected output is in the system's code page, such as cp1252: a label or path in Chinese would raise
UnicodeEncodeError after the work is done. What cannot be encoded is written as an escape sequence instead.
"""

import io
import logging
import sys
from collections.abc import Iterator

ESCAPED = "backslashreplace"


def escape_unencodable_output() -> None:
    """Let the standard streams of this process write escape sequences for what they cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        # Notebooks have streams of their own, and programs without a console none.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


class EncodableMessages(logging.Filter):
    """Writes escape sequences into the messages of a logger for what any of its handlers cannot encode.

    For loggers whose handlers belong to the host: there, such a message would be replaced by a traceback.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every message pass."""
        text = record.getMessage()
        for encoding in self._encodings():
            text = text.encode(encoding, ESCAPED).decode(encoding)
        record.msg, record.args = text, None
        return True

    def _encodings(self) -> Iterator[str]:
        logger: logging.Logger | None = self._logger
        while logger:
            for handler in logger.handlers:
                if encoding := getattr(getattr(handler, "stream", None), "encoding", None):
                    yield encoding
            logger = logger.parent if logger.propagate else None


def encodable_logger(name: str) -> logging.Logger:
    """A logger below the host's, all of whose messages can be written."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, EncodableMessages) for known in logger.filters):
        logger.addFilter(EncodableMessages(logger))
    return logger
