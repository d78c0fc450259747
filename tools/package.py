"""Make one zip for each plugin, as the HUB publishes it, and list what is in it."""

import subprocess
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DIST = REPOSITORY / "dist"


def files_of(plugin: str) -> list[str]:
    """The plugin's files that git tracks, relative to the repository: never caches, weights or trained models."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", plugin], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    return sorted(name for name in listing.split("\0") if name)


def package(plugin: str) -> Path:
    """Write `dist/<plugin>.zip`, with the plugin's folder at its top."""
    DIST.mkdir(exist_ok=True)
    path = DIST / f"{plugin}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files_of(plugin):
            archive.write(REPOSITORY / name, name)
    return path


def main() -> None:
    for folder in sorted(REPOSITORY.glob("*_torchvision_resnext")):
        path = package(folder.name)
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1024:.0f} KiB")
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                print(f"  {entry.file_size:>8,}  {entry.filename}")


if __name__ == "__main__":
    main()
