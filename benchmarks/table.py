"""Rows → Markdown."""

from collections.abc import Sequence
from typing import Any


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table with the first row's keys as its head."""
    if not rows:
        return ""
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(row[key]).replace(chr(10), ' ') for key in head)} |" for row in rows]
    return "\n".join(lines)
