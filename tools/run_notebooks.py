"""Execute the notebooks of `examples` from top to bottom and keep what they show. Works offline.

What is kept says nothing of the machine: no versions, and no path, which is refused. Progress bars, drawn for
terminals, are left out.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(path: Path) -> None:
    """Execute one notebook in place. Raises: CellExecutionError; ValueError, if an output holds a path of the machine.

    The file is written only after all of its cells went through.
    """
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, record_timing=False, coalesce_streams=True, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [kept(output) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = METADATA
    for private in (str(REPOSITORY), str(Path.home())):
        if any(private in str(cell.get("outputs", "")) for cell in notebook.cells):
            raise ValueError(f"{path.name} shows {private}, which belongs to this machine")
    nbformat.write(notebook, path)


def kept(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output without the second copy of its picture."""
    if "image/png" in output.get("data", {}):
        output.data.pop("image/jpeg", None)
    return output


def main() -> None:
    for path in sorted((REPOSITORY / "examples").glob("*.ipynb")):
        run(path)
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
