"""Rows → Markdown."""

from collections.abc import Sequence
from typing import Any


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table with all keys as its head; what a row lacks is left empty."""
    if not rows:
        return ""
    head = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(row.get(key, '')).replace(chr(10), ' ') for key in head)} |" for row in rows]
    return "\n".join(lines)
