"""A picture of a run as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from runherald.producers.notebook.picture import FigureRow, Picture

_FIGURES = 20
_CHILDREN = 10


def summary_of(picture: Picture) -> str:
    """Return some lines on how a run is doing."""
    return "\n".join(_lines(picture)) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    run, verdict = picture.run, picture.run.verdict
    lasted = f", {run.duration}" if run.duration else ""
    yield f"{run.name} ({run.experiment}): {run.status.words}{lasted}"
    if verdict and (verdict.why or verdict.reason):
        yield "  " + ": ".join(part for part in (verdict.why, verdict.reason) if part)
    for row in picture.figures.rows[:_FIGURES]:
        yield f"  {row.name}: {_figure(row)}"
    left = picture.figures.left + max(0, len(picture.figures.rows) - _FIGURES)
    if left:
        yield f"  and {left} more metrics"
    children = picture.children
    if children.total:
        yield f"  {children.total} children: " + ", ".join(f"{one.count} {one.status.words.lower()}" for one in children.counts)
        for child in children.rows[:_CHILDREN]:
            yield f"    {child.name}: {child.status.words}{' ' + child.duration if child.duration else ''}"
    yield f"  {run.page}"


def _figure(row: FigureRow) -> str:
    if row.kind:
        return row.last or f"{row.kind}, {row.times} times"
    return row.last if row.times == 1 else f"{row.last} (least {row.least}, greatest {row.greatest}, {row.times:,} points)"
