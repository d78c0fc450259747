"""Figures in the documents come from commands that exist, or name the commit that ran the command."""

import importlib.util
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import SECTIONS

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    file
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "*_torchvision_resnext/*.md")
    for file in REPOSITORY.glob(pattern)
    if file.name != "CHANGELOG.md"
)
COMMAND = re.compile(r"python -m (benchmarks[\w.]*|examples\.\w+)(?: ([a-z_]+))?[^`]*`?(,? at commit [0-9a-f]{7})?")


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(REPOSITORY).as_posix())
def test_every_documented_command_exists_or_names_its_commit(file):
    text = " ".join(file.read_text(encoding="utf-8").split())
    for module, section, commit in COMMAND.findall(text):
        if not commit:
            assert importlib.util.find_spec(module), module
            if module == "benchmarks" and section:
                assert section in SECTIONS, section
