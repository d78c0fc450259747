"""How large the house is: lines, files, floors and arrows, as a table. `python -m tools.house [REPOSITORY]`.

An arrow leads from a module to one that it imports, within a package; a room is a folder. A module that imports none
stands on the first floor, any other one above the highest that it imports.
"""

import ast
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

PLUGINS = ("infer_torchvision_resnext", "train_torchvision_resnext")
SHARED = "resnext"


def modules_of(plugin: Path) -> dict[str, Path]:
    """Dotted name within the plugin → file, packages' own files too."""
    found = {}
    for file in sorted(plugin.rglob("*.py")):
        parts = file.relative_to(plugin).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(name: str, file: Path, modules: dict[str, Path], plugin: str) -> set[str]:
    """Modules of the same plugin that a file imports, also inside its functions."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = [part for part in package[: len(package) - node.level + 1] if part]
        elif (node.module or "").split(".")[0] == plugin:
            base = []
        else:
            continue
        target = (node.module or "").split(".") if node.level else (node.module or "").split(".")[1:]
        module = ".".join([*base, *filter(None, target)])
        for each in node.names:
            inner = f"{module}.{each.name}".lstrip(".")
            found.add(inner if inner in modules else module)
    return {each for each in found if each in modules and each not in ("", name)}


def floors(arrows: dict[str, set[str]]) -> int:
    """Height of the graph. Raises: graphlib.CycleError, where modules import each other."""
    height: dict[str, int] = {}
    for name in TopologicalSorter(arrows).static_order():
        height[name] = 1 + max((height[below] for below in arrows.get(name, ())), default=0)
    return max(height.values())


def main(repository: Path) -> None:
    total = 0
    for plugin in PLUGINS:
        modules = modules_of(repository / plugin)
        arrows = {name: imports_of(name, file, modules, plugin) for name, file in modules.items()}
        rooms: dict[str, list[str]] = defaultdict(list)
        for name, file in modules.items():
            rooms[file.parent.relative_to(repository / plugin).as_posix()].append(name)
        own = {name: below for name, below in arrows.items() if name.split(".")[0] != SHARED}
        between = {
            (modules[name].parent, modules[below].parent)
            for name, all_below in arrows.items()
            for below in all_below
            if modules[name].parent != modules[below].parent
        }
        print(
            f"\n{plugin}: {sum(map(len, own.values()))} arrows between modules outside {SHARED}/, "
            f"{len(between)} between rooms, {floors(arrows)} floors"
        )
        print("\n| room | files | lines |\n|---|---|---|")
        for room, names in sorted(rooms.items()):
            lines = sum(len(modules[name].read_text(encoding="utf-8").splitlines()) for name in names)
            print(f"| {room} | {len(names)} | {lines:,} |")
            if not (plugin == PLUGINS[1] and room.split("/")[0] == SHARED):
                total += lines
    print(f"\n{total:,} lines in all, {SHARED}/ counted once")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
