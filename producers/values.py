"""What may be logged: values as users have them, turned into numbers, texts and JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from runherald.errors import InvalidInput
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.allowed import allowed
from runherald.producers.arguments import bounded

MAX_OBJECT_BYTES = DEFAULT_LIMITS.event_bytes * 9 // 10
"""Of a row or table as JSON: with its envelope it fits into one message."""

Cell = float | int | bool | str | None
Nonfinite = Literal["NaN", "Infinity", "-Infinity"]


def scalar(value: object) -> float | str | None:
    """Return a value as a number or text; None if it is neither. Booleans are 1 and 0, arrays and tensors of one element are that one."""
    if isinstance(value, str):
        return str.__str__(str(value))  # of a class of its own, `str` may give that class again, which the encoder does not take
    if isinstance(value, (float, int)):
        return _number(value)
    single = _single(value)  # once: what holds another of its own kind would have no end
    if isinstance(single, str):
        return str.__str__(str(single))
    return _number(single) if hasattr(type(single), "__float__") else None


def row(what: str, columns: Mapping[str, object]) -> dict[str, Cell]:
    """Return a row as JSON; `what` names it in errors.

    Raises:
        InvalidInput: there is no column, or a value is of a kind that cannot be logged.
    """
    if not columns:
        raise InvalidInput(f"{what}: has no columns; pass each as a keyword argument")
    if set(map(type, columns)) != {str} or not all(map(str.isascii, columns)):
        columns = {_column_name(what, name): value for name, value in columns.items()}
    cells: dict[str, Cell] = {}
    size = 0
    for name, value in columns.items():
        if type(value) is float and math.isfinite(value):
            cells[name] = value  # what most cells are
        else:
            cells[name] = checked = cell(f"{what}, column {name!r}", value)
            size += len(checked) if isinstance(checked, str) else 0
    if size + 300 * len(cells) > MAX_OBJECT_BYTES // 6:  # JSON makes six characters of one at most
        _check_size(what, cells)
    return cells


def table(what: str, columns: object) -> dict[str, list[Cell]]:
    """Return a table as JSON: columns of one length. A column that is a single value is a column of one row.

    Raises:
        InvalidInput: it is no dictionary, has no column, the lengths differ, or a value is of a kind that cannot be logged.
    """
    if not isinstance(columns, Mapping):
        raise InvalidInput(f"{what}: is a {type(columns).__name__}; pass a dictionary of columns, each a list")
    if not columns:
        raise InvalidInput(f"{what}: has no columns; pass a dictionary of columns, each a list")
    lists = {(plain := _column_name(what, name)): _column(f"{what}, column {plain!r}", column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in lists.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name!r} has {length}" for name, length in list(lengths.items())[:5])
        raise InvalidInput(f"{what}: the columns differ in length ({said}); give all the same number of values")
    _check_size(what, lists)
    return lists


def items(what: str, values: object) -> list[float | str]:
    """Return a list of numbers and texts.

    Raises:
        InvalidInput: it is no list, is empty, or an item is neither.
    """
    found: list[float | str] = []
    for index, value in enumerate(_sequence(what, values)):
        if type(value) is float:  # what most items are
            found.append(value)
            continue
        item = scalar(value)
        if item is None:
            raise InvalidInput(f"{what}: item {index} is {kind_of(value)}; log numbers or texts")
        found.append(bounded(f"{what}: item {index}", item, allowed().metric_text) if isinstance(item, str) else item)
    if not found:
        raise InvalidInput(f"{what}: the list is empty; log at least one value")
    return found


def cell(what: str, value: object) -> Cell:
    """Return one value of a row or table. JSON has no NaN and no infinity: they become the texts `NaN`, `Infinity`, `-Infinity`.

    Raises:
        InvalidInput: it is of a kind that cannot be logged.
    """
    if type(value) is float and math.isfinite(value):
        return value  # what most cells are
    value = _single(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    plain = scalar(value)
    if plain is None:
        raise InvalidInput(f"{what}: is {kind_of(value)}; log numbers, texts or booleans")
    if isinstance(plain, str):
        return bounded(f"{what}:", plain, sys.maxsize)  # a row has a bound as a whole
    if isinstance(plain, float) and not math.isfinite(plain):
        return nonfinite_name(plain)
    return plain


def kind_of(value: object) -> str:
    """Return what an error says of a value that cannot be logged."""
    if isinstance(value, int):
        return "an int beyond what a float can hold"
    return f"a {type(value).__name__}"


def nonfinite_name(value: float) -> Nonfinite:
    """Return how JSON says a number that it does not have."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _column_name(what: str, name: object) -> str:
    if isinstance(name, (str, int)):
        return bounded(f"{what}: a column's name", str(name), allowed().metric_name)
    raise InvalidInput(f"{what}: a column's name is a {type(name).__name__}; pass a text")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except Exception:  # the user's own type: whatever it raises, it is no number
        return None


def _single(value: object) -> object:
    """Return what an array, tensor or scalar of one element holds; anything else as it is."""
    item = getattr(value, "item", None)
    if not callable(item) or isinstance(value, Mapping):
        return value
    try:
        return item()
    except Exception:  # the user's own type: whatever it raises, it holds no single value
        return value


def _column(what: str, column: object) -> list[Cell]:
    if column is None or isinstance(column, (str, int, float)):
        return [cell(what, column)]
    return [cell(what, value) for value in _sequence(what, column)]


def _sequence(what: str, values: object) -> Sequence[object]:
    to_list = getattr(values, "tolist", None)
    plain = to_list() if callable(to_list) else values
    if isinstance(plain, (str, bytes, Mapping)) or not isinstance(plain, Iterable):
        raise InvalidInput(f"{what}: is a {type(values).__name__}; pass a list")
    return list(plain)


def _check_size(what: str, value: object) -> None:
    size = len(msgspec.json.encode(value))
    if size > MAX_OBJECT_BYTES:
        raise InvalidInput(f"{what}: is {size} bytes as JSON; at most {MAX_OBJECT_BYTES} are kept at once: log it in parts, or as a file")
