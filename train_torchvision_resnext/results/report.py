"""The report: pictures, and one page that shows at a glance how good the model is and what it confuses.

The page stands alone: pictures are part of it, there are no scripts, and its own policy forbids the browser to load
anything. Everything that comes from outside, such as labels and file names, is escaped.
"""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from .charts import class_bars, confusion_matrix, learning_curves, save
from .evaluation import TOP, Evaluation
from .mistakes import Answer, answers, grid

CURVES = "learning_curves.png"
CONFUSION = "confusion_matrix.png"
CLASSES = "per_class.png"
MISTAKES = "worst_mistakes.png"
PAGE = "report.html"

LISTED_PAIRS = 10
LISTED_MISTAKES = 100
SCREEN_SCALE = 0.6
"""CSS pixels for a pixel of a picture: the same for all, so that their letters are of one size."""
OPEN_ROWS = 30
"""Longer tables are folded up."""


def write_report(  # noqa: PLR0913, PLR0917 (what a report shows comes from eight places)
    folder: Path,
    evaluation: Evaluation,
    history: Sequence[Mapping[str, float]],
    files: Sequence[Path],
    logits: NDArray[np.float32],
    targets: NDArray[np.int64],
    labels: Sequence[str],
    sections: Mapping[str, Sequence[str]],
) -> list[Path]:
    """Write the report into a folder, which is made when needed.

    Args:
        evaluation: of these logits and targets.
        history: a row an epoch, see `learning_curves`; without rows there is no such picture.
        files: the N images evaluated, to show the mistakes; one that cannot be read is shown as missing.
        logits: N x C, float32.
        targets: N class indices in 0..C-1.
        labels: C labels in index order.
        sections: heading → lines, for what else the page shall say, such as remarks on the data and the settings.
            A line `name = value`, its name without blanks, becomes a row of a table.

    Returns:
        The files written: the pictures, then the page.

    Raises:
        OSError: the folder cannot be written.
        ValueError: not as many files as logits.
    """
    worst = answers(files, logits, targets, labels)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [save(learning_curves(history), folder / CURVES)] if history else []
    pictures += [
        save(confusion_matrix(evaluation), folder / CONFUSION),
        save(class_bars(evaluation), folder / CLASSES),
        save(grid(worst), folder / MISTAKES),
    ]
    page = folder / PAGE
    page.write_text(_page(evaluation, history, worst, pictures, sections), encoding="utf-8")
    return [*pictures, page]


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """95 % confidence interval of a fraction; Wilson, "Probable inference", JASA 1927. `count` at least 1."""
    z = 1.959964
    fraction = successes / count
    center = fraction + z * z / (2 * count)
    spread = z * math.sqrt(fraction * (1 - fraction) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def _page(
    evaluation: Evaluation,
    history: Sequence[Mapping[str, float]],
    worst: Sequence[Answer],
    pictures: Sequence[Path],
    sections: Mapping[str, Sequence[str]],
) -> str:
    captions = {
        CURVES: "As measured during the training, in its precision; the dashed line is the epoch that was kept.",
        CONFUSION: "Rows are the true classes, columns the predicted ones. Blue is right, orange is wrong.",
        CLASSES: "Precision: of the images said to be of a class, the fraction that is. Recall: of its images, the "
        "fraction found. F1 is low when either is.",
        MISTAKES: "In color what the model said, and how sure it was. A sure mistake is often a wrong label, a rare "
        "view, or two classes in one picture.",
    }
    body = [
        _headline(evaluation),
        *(f'<p class="note">{escape(note)}</p>' for note in evaluation.notes),
        *(_picture(path, captions[path.name]) for path in pictures),
        _table("Most frequent confusions", ("True", "Predicted", "Images", "Share of the true"), _pairs(evaluation), 2),
        _table("Classes", ("Class", "Images", "Predicted", "Precision", "Recall", "F1"), _classes(evaluation), 1),
        _table(_surest(worst), ("File", "True", "Predicted", "P(predicted)", "P(true)"), _listed(worst), 3),
        _table("Epochs", *_epochs(history), 0),
        *(_section(heading, lines) for heading, lines in sections.items() if lines),
    ]
    return _PAGE.substitute(body="\n".join(part for part in body if part))


def _headline(evaluation: Evaluation) -> str:
    count = evaluation.count
    right = round(evaluation.top1 * count)
    low, high = wilson_interval(right, count)
    largest = max(evaluation.per_class, key=lambda metrics: metrics.support)
    cards = [
        ("Top-1 accuracy", _percent(evaluation.top1), f"95 % interval {_percent(low)} to {_percent(high)}"),
        ("Macro F1", _percent(evaluation.macro_f1), "mean over the classes, rare ones count as much"),
        (
            "Loss",
            f"{evaluation.loss:.3f}",
            f"cross-entropy; guessing evenly gives {math.log(len(evaluation.labels)):.3f}",
        ),
    ]
    if len(evaluation.labels) > TOP:
        cards.insert(1, ("Top-5 accuracy", _percent(evaluation.top5), "the true class is among the best five"))
    sentences = [f"Always answering “{largest.label}” would be right in {_percent(largest.support / count)}."]
    confused = evaluation.confusions()
    if confused:
        first = confused[0]
        sentences.append(
            f"The most frequent confusion: “{first.true}” taken for “{first.predicted}”, {first.count} times."
            if first.count > 1
            else f"No two classes were confused more than once; “{first.true}” taken for “{first.predicted}” is one."
        )
    boxes = "".join(
        f'<div class="card"><div class="name">{escape(name)}</div><div class="figure">{value}</div>'
        f'<div class="aside">{escape(aside)}</div></div>'
        for name, value, aside in cards
    )
    return (
        f"<h1>{right:,} of {count:,} images right, {len(evaluation.labels)} classes</h1>\n"
        f'<p class="lead">{escape(" ".join(sentences))}</p>\n<div class="cards">{boxes}</div>'
    )


def _picture(path: Path, caption: str) -> str:
    content = path.read_bytes()
    # The third and fourth 32-bit word of a PNG behind its signature are chunk type and width.
    width = round(int.from_bytes(content[16:20], "big") * SCREEN_SCALE)
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<figure><img width="{width}" alt="{escape(path.stem.replace("_", " "))}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """A table whose first `words` columns hold words and the others numbers; nothing without rows."""
    lines = [_row("td", row, words) for row in rows]
    if not lines:
        return ""
    state = " open" if len(lines) <= OPEN_ROWS else ""
    return (
        f'<details{state}><summary>{escape(heading)}</summary><div class="wide"><table>'
        f"<thead>{_row('th', columns, words)}</thead>\n<tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def _row(tag: str, cells: Sequence[str], words: int) -> str:
    kinds = ("" if index < words else ' class="number"' for index in range(len(cells)))
    return (
        f"<tr>{''.join(f'<{tag}{kind}>{escape(cell)}</{tag}>' for kind, cell in zip(kinds, cells, strict=True))}</tr>\n"
    )


def _pairs(evaluation: Evaluation) -> list[tuple[str, ...]]:
    support = {metrics.label: metrics.support for metrics in evaluation.per_class}
    return [
        (pair.true, pair.predicted, f"{pair.count:,}", _percent(pair.count / support[pair.true]))
        for pair in evaluation.confusions()[:LISTED_PAIRS]
    ]


def _classes(evaluation: Evaluation) -> list[tuple[str, ...]]:
    return [
        (m.label, f"{m.support:,}", f"{m.predicted:,}", _percent(m.precision), _percent(m.recall), _percent(m.f1))
        for m in evaluation.per_class
    ]


def _surest(worst: Sequence[Answer]) -> str:
    mistakes = sum(not answer.right for answer in worst)
    return f"The {LISTED_MISTAKES} surest of {mistakes:,} mistakes" if mistakes > LISTED_MISTAKES else "All mistakes"


def _listed(worst: Sequence[Answer]) -> list[tuple[str, ...]]:
    return [
        (answer.name, answer.true, answer.predicted, _percent(answer.probability), _percent(answer.true_probability))
        for answer in worst[:LISTED_MISTAKES]
        if not answer.right
    ]


def _epochs(history: Sequence[Mapping[str, float]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows; a column for whatever any epoch reports."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    rows = [[f"{row[key]:.5g}" if key in row else "" for key in columns] for row in history]
    return [column.replace("_", " ") for column in columns], rows


def _section(heading: str, lines: Sequence[str]) -> str:
    matches = [(line, re.fullmatch(r"(\S+) = (.*)", line)) for line in lines]
    rows = "".join(f"<tr><td>{escape(m[1])}</td><td>{escape(m[2])}</td></tr>\n" for _, m in matches if m)
    items = "".join(f"<li>{escape(line)}</li>\n" for line, match in matches if not match)
    table = f'<table class="settings">{rows}</table>' if rows else ""
    return f"<section><h2>{escape(heading)}</h2>{f'<ul>{items}</ul>' if items else ''}{table}</section>"


def _percent(fraction: float) -> str:
    return f"{fraction:.1%}".replace("%", " %")


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>How good is this model?</title>
<style>
body { margin: 0 auto; max-width: 1080px; padding: 28px 24px 60px; color: #1b2733; background: #f3f5f8;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 4px; font-size: 30px; line-height: 1.2; letter-spacing: -0.01em; }
h2, summary { font-size: 17px; font-weight: 650; }
.lead { margin: 0 0 20px; font-size: 16px; color: #44566a; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 14px; margin-bottom: 16px; }
.card, figure, details, section { background: white; border: 1px solid #e0e6ec; border-radius: 10px; }
.card { padding: 14px 18px; }
.name { color: #44566a; }
.figure { font-size: 34px; font-weight: 650; line-height: 1.25; color: #1f5fbf; font-variant-numeric: tabular-nums; }
.aside, figcaption { font-size: 13px; color: #66788a; }
.note { margin: 0 0 12px; padding: 10px 16px; background: #fff4e5; border: 1px solid #f5cf9b; border-radius: 10px; }
figure { margin: 0 0 16px; padding: 16px 18px 12px; text-align: center; }
img { max-width: 100%; height: auto; }
figcaption { margin-top: 6px; text-align: left; }
details, section { margin: 0 0 16px; padding: 14px 18px; }
section h2 { margin: 0 0 8px; }
summary { cursor: pointer; }
.wide { overflow-x: auto; margin-top: 8px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
.wide table { width: 100%; }
th { text-align: left; font-weight: 600; color: #66788a; overflow-wrap: normal; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid #edf1f5; vertical-align: top; }
td { overflow-wrap: anywhere; }
th { vertical-align: bottom; }
.number { text-align: right; }
td.number { white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
.settings td:first-child { color: #66788a; white-space: nowrap; padding-right: 28px; }
ul { margin: 0 0 8px; padding-left: 20px; }
@media print { body { background: white; max-width: none; } figure, .card { break-inside: avoid; } }
</style>
</head>
<body>
$body
</body>
</html>
""")
