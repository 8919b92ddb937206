"""What the charts of a run draw, as data: the server answers it, pages and notebooks show it."""

from __future__ import annotations

from msgspec import Struct


class ChartRun(Struct, frozen=True):
    """A run that has a curve somewhere; its place decides the colour."""

    run_id: str
    label: str


class ChartCurve(Struct, frozen=True, kw_only=True):
    """A metric of one run, in order of step; what is not finite is None."""

    run_id: str
    label: str
    steps: list[int]
    values: list[float | None]


class Chart(Struct, frozen=True, kw_only=True):
    """All curves of one metric. `note` says what is not to be seen."""

    name: str
    curves: list[ChartCurve]
    note: str = ""


class Figures(Struct, frozen=True, kw_only=True):
    """A metric of the run itself in numbers; None where none is finite."""

    name: str
    last: float | None
    least: float | None
    greatest: float | None
    points: int


class Charts(Struct, frozen=True):
    """The charts of a run and its children, by name, and what the run itself logged in numbers: `GET /runs/{run_id}/charts`.

    `more` and `more_figures` count those that are left out.
    """

    runs: list[ChartRun] = []
    charts: list[Chart] = []
    more: int = 0
    figures: list[Figures] = []
    more_figures: int = 0
