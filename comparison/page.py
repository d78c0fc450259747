"""The comparison as one page that opens without a connection: pictures are part of it, and it has no scripts."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from comparison.experiment import Experiment
from comparison.plots import CARDINALITY_PLOT, COST_PLOT
from comparison.summary import Row, percent, standard_error, table

PAGE = "comparison.html"

SCREEN_SCALE = 0.62
"""CSS pixels for a pixel of a picture: the same for all, so that their letters are of one size."""

CAPTIONS = {
    COST_PLOT: "Dots are single trainings, marks their mean, bars one standard deviation over the seeds.",
    CARDINALITY_PLOT: "The same multiply-adds, spent on more and narrower paths from left to right.",
}


def write_page(experiment: Experiment, rows: Sequence[Row], pictures: Sequence[Path], machine: str, file: Path) -> Path:
    """Write the page. Raises: OSError."""
    body = [
        f"<h1>{escape(_title(experiment))}</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in sentences(experiment, rows)),
        _table(table(rows)),
        *(_picture(picture) for picture in pictures),
        _settings(experiment, machine),
        _trainings(rows),
    ]
    file.write_text(_PAGE.substitute(body="\n".join(body)), encoding="utf-8")
    return file


def sentences(experiment: Experiment, rows: Sequence[Row]) -> list[str]:
    """What a reader must know to read the table: how it came about, and how far it can be trusted."""
    said = [
        "Multiply-adds count once and are those of one image. Activations are the values that convolutions put out: "
        "they, more than multiply-adds, are what memory has to carry. Training keeps the stated bytes for each image "
        "of a batch, in fp32."
    ]
    cells = [cell for row in rows for cell in row.cells]
    if cells:
        images, error = standard_error(rows)
        epochs = len(cells[0].epoch_seconds)
        said.append(
            f"Every architecture was trained alike, {epochs} epochs for each of {experiment.seeds} seeds, and judged "
            f"after the last epoch on {images:,} validation images. One image is {percent(1 / images)}; the choice of "
            f"these images alone gives such an accuracy a standard error of {percent(error)}, beside the spread over "
            "the seeds. Read nothing into smaller differences."
        )
    missing = [str(row.architecture) for row in rows if experiment.dataset and len(row.cells) < experiment.seeds]
    if missing:
        said.append(f"Not finished: {', '.join(missing)}. Run the same command again to go on.")
    return said


def _title(experiment: Experiment) -> str:
    what = f"{len(experiment.architectures)} architectures"
    return f"{what} on {experiment.dataset.name}" if experiment.dataset else f"{what}: what they cost"


def _table(lines: Sequence[Mapping[str, str]]) -> str:
    head = "".join(f"<th>{escape(key)}</th>" for key in lines[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in line.values())}</tr>\n" for line in lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _picture(picture: Path) -> str:
    content = picture.read_bytes()
    # The fifth 32-bit word of a PNG is its width.
    width = round(int.from_bytes(content[16:20], "big") * SCREEN_SCALE)
    data = base64.b64encode(content).decode("ascii")
    caption = CAPTIONS.get(picture.name, "")
    return (
        f'<figure><img width="{width}" alt="{escape(picture.stem.replace("_", " "))}" '
        f'src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _settings(experiment: Experiment, machine: str) -> str:
    given = {
        "dataset": str(experiment.dataset or "none"),
        "seeds": str(experiment.seeds),
        **experiment.settings,
        "machine": machine,
    }
    lines = [{"setting": key, "value": value} for key, value in given.items()]
    return f"<h2>How it was made</h2>{_table(lines)}"


def _trainings(rows: Sequence[Row]) -> str:
    lines = [
        {
            "architecture": cell.architecture,
            "seed": str(cell.seed),
            "top-1": percent(cell.top1),
            "best epoch": percent(cell.best_top1),
            "loss": f"{cell.loss:.3f}",
            "seconds": f"{sum(cell.epoch_seconds):.0f}",
        }
        for row in rows
        for cell in row.cells
    ]
    return f"<details><summary>Each training</summary>{_table(lines)}</details>" if lines else ""


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Architectures compared</title>
<style>
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 60px; color: #1b2733; background: #f3f5f8;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 8px; font-size: 30px; line-height: 1.2; letter-spacing: -0.01em; }
h2, summary { margin: 0 0 8px; font-size: 17px; font-weight: 650; }
p { max-width: 800px; color: #44566a; }
figure, .wide, details { margin: 0 0 16px; padding: 14px 18px; background: white; border: 1px solid #e0e6ec;
  border-radius: 10px; }
details .wide { border: 0; padding: 0; }
.wide { overflow-x: auto; }
img { max-width: 100%; height: auto; }
figcaption { margin-top: 6px; font-size: 13px; color: #66788a; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: #66788a; vertical-align: bottom; }
th, td { padding: 5px 16px 5px 0; border-bottom: 1px solid #edf1f5; }
td { white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
summary { cursor: pointer; }
</style>
</head>
<body>
$body
</body>
</html>
""")
