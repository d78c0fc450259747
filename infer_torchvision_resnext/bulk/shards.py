"""Several equal commands that share one table: each does every N-th part."""

import re
from dataclasses import dataclass

from typing_extensions import Self


@dataclass(frozen=True)
class Shard:
    """The parts that one of several equal commands does: every `count`-th, from number `index` on."""

    index: int = 0
    count: int = 1

    @classmethod
    def from_text(cls, text: str) -> Self:
        """`I/N`, where the first of N is 1. Raises: ValueError."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"shard = {text!r}: expected I/N with I from 1 to N, such as 2/4 for the second of four")
        return cls(int(match[1]) - 1, int(match[2]))

    @property
    def is_everything(self) -> bool:
        return self.count == 1

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


EVERYTHING = Shard()
