"""Compare installed packages with what both plugins require: the HUB's installer only logs a pip that failed."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PLUGINS = Path(__file__).parents[2]
"""The folder that the plugins lie in."""

OPTIONAL = ("onnx>=1.16", "onnxscript>=0.2", "onnxruntime>=1.19", "onnxruntime-gpu>=1.19", "nncf>=2.14")
"""Not installed with the plugins; checked where they are installed."""


def requirement_files() -> list[Path]:
    """Of both plugins, as far as they are installed side by side."""
    names = ("infer_torchvision_resnext", "train_torchvision_resnext")
    return [path for name in names if (path := PLUGINS / name / "requirements.txt").is_file()]


def read_requirements(file: Path) -> list[str]:
    """The requirements of a file, without comments and options of pip."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def unmet(requirements: Sequence[str], optional: bool = False) -> Iterator[str]:
    """Describe what is missing or outside its range, with the command that installs it.

    Args:
        requirements: as pip reads them, such as `torch>=2.6`.
        optional: whether a package may be missing.

    Raises:
        ImportError: the package packaging is not installed.
    """
    from packaging.requirements import Requirement

    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            if not optional:
                yield f'{requirement.name} is not installed: run pip install "{requirement}"'
            continue
        # Pre-releases are versions, too: what is installed was installed on purpose.
        if not requirement.specifier.contains(installed, prereleases=True):
            yield (
                f"{requirement.name} {installed} is installed, {requirement.specifier} is required: run pip install "
                f'"{requirement}"'
            )


def requirement_problems() -> Iterator[str]:
    """What is wrong with the installed packages, a sentence each, in the order of the files."""
    try:
        reported = dict.fromkeys(problem for file in requirement_files() for problem in unmet(read_requirements(file)))
        reported.update(dict.fromkeys(unmet(OPTIONAL, optional=True)))
    except ImportError:
        yield 'packaging is not installed, so that versions cannot be compared: run pip install "packaging>=22"'
        return
    yield from reported
