"""What a run logged, in the form that Azure's `Run.get_metrics` gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runherald.api import MetricSeries

_NONFINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def metrics_of(series: Iterable[MetricSeries]) -> dict[str, Any]:
    """Return name to value: what was logged once is a scalar, what was logged several times a list in order; rows and tables are
    dictionaries of columns, of which those with one row hold scalars; charts and images are dictionaries as they were logged."""
    tables: dict[str, dict[str, list[Any]]] = {}
    items: dict[str, list[tuple[int, int, Any]]] = {}
    for one in series:
        if one.kind in ("row", "table"):
            tables[one.name] = _join(tables.get(one.name, {}), one.values)
            continue
        for step, time, value in zip(one.steps, one.times, one.values, strict=True):
            plain = _number(value) if one.kind == "scalar" else value
            items.setdefault(one.name, []).extend((step, time, item) for item in (plain if one.kind == "list" else [plain]))
    lists = {name: [value for _, _, value in sorted(logged, key=_order)] for name, logged in items.items()}
    columns = {name: {column: _unwrap(cells) for column, cells in table.items()} for name, table in tables.items()}
    return {**{name: _unwrap(values) for name, values in lists.items()}, **columns}


def _order(logged: tuple[int, int, Any]) -> tuple[int, int]:
    """Numbers and texts of one name come as two series; in time they were one."""
    step, time, _ = logged
    return step, time


def _join(columns: dict[str, list[Any]], logged: Iterable[Any]) -> dict[str, list[Any]]:
    rows = max((len(column) for column in columns.values()), default=0)
    for one in logged:
        lists = {name: [_number(cell) for cell in _listed_cell(value)] for name, value in one.items()}
        added = max((len(column) for column in lists.values()), default=0)
        for name in {**columns, **lists}:
            column = columns.setdefault(name, [None] * rows)
            column.extend(lists.get(name, [None] * added))
        rows += added
    return columns


def _number(value: Any) -> Any:
    """Return the number that JSON has no word for; anything else as it is."""
    return _NONFINITE.get(value, value) if isinstance(value, str) else value


def _listed_cell(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unwrap(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
