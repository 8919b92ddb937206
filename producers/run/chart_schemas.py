"""Charts that are logged whole, in Azure's schemas: those of version `v1` are checked, of others only that they are JSON.

Source: azureml-core's `Run.log_confusion_matrix` and its siblings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from runherald.errors import InvalidInput
from runherald.producers.values import MAX_OBJECT_BYTES

ChartKind = Literal["confusion_matrix", "accuracy_table", "residuals", "predictions"]

KNOWN_VERSION = "v1"
_COUNTS_A_THRESHOLD = 4  # true and false positives, true and false negatives


def chart(what: str, kind: ChartKind, value: object) -> dict[str, Any]:
    """Return a chart as JSON; `what` names it in errors. Arrays become lists, what is not finite becomes null.

    Raises:
        InvalidInput: it is no JSON object, is another kind of chart, too large, or has not the shape that its schema says.
    """
    content = _json(what, value)
    said = content.get("schema_type")
    if said != kind and said in _CHECKS:
        raise InvalidInput(f"{what}: schema_type is {said!r}; log it with log_{said}")
    if said == kind and content.get("schema_version") == KNOWN_VERSION:
        data = content.get("data")
        if not isinstance(data, dict):
            raise InvalidInput(f"{what}: data is {_kind(data)}; pass an object with the chart's values")
        _CHECKS[kind](f"{what}: data", data)
    return content


def _json(what: str, value: object) -> dict[str, Any]:
    try:
        text = value.encode() if isinstance(value, str) else msgspec.json.encode(value, enc_hook=_listed)
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise InvalidInput(f"{what}: is a text that is no JSON ({error}); pass a dictionary") from None
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"{what}: holds what JSON cannot ({error}); pass dictionaries, lists, numbers and texts") from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{what}: is {_kind(value)}; pass a dictionary with schema_type, schema_version and data, or its JSON")
    if len(text) > MAX_OBJECT_BYTES:
        raise InvalidInput(f"{what}: is {len(text)} bytes as JSON; at most {MAX_OBJECT_BYTES} are kept: log fewer values, or a file")
    return content


def _listed(value: Any) -> Any:
    """Return what an array or scalar of another library holds."""
    to_list = getattr(value, "tolist", None)
    if not callable(to_list):
        raise TypeError(f"a {type(value).__name__}")
    return to_list()


def _confusion_matrix(what: str, data: Mapping[str, Any]) -> None:
    labels = _list(what, data, "class_labels")
    _table(f"{what}.matrix", _list(what, data, "matrix", len(labels), "class_labels"), len(labels))


def _accuracy_table(what: str, data: Mapping[str, Any]) -> None:
    classes = len(_list(what, data, "class_labels"))
    for name in ("probability", "percentile"):
        thresholds = _numbers(what, data, f"{name}_thresholds")
        for index, table in enumerate(_list(what, data, f"{name}_tables", classes, "class_labels")):
            place = f"{what}.{name}_tables[{index}]"
            if not isinstance(table, list) or len(table) != thresholds:
                raise InvalidInput(f"{place}: is {_kind(table)}; pass a list of as many rows as {name}_thresholds has ({thresholds})")
            _table(place, table, _COUNTS_A_THRESHOLD)


def _residuals(what: str, data: Mapping[str, Any]) -> None:
    counts = _numbers(what, data, "bin_counts")
    _numbers(what, data, "bin_edges", counts + 1, "bin_counts and one more")


def _predictions(what: str, data: Mapping[str, Any]) -> None:
    averages = _numbers(what, data, "bin_averages")
    _numbers(what, data, "bin_errors", averages, "bin_averages")
    _numbers(what, data, "bin_counts", averages, "bin_averages")
    _numbers(what, data, "bin_edges", averages + 1, "bin_averages and one more")


def _list(what: str, data: Mapping[str, Any], name: str, length: int | None = None, other: str = "") -> list[Any]:
    found = data.get(name)
    if not isinstance(found, list) or not found:
        raise InvalidInput(f"{what}.{name}: is {_kind(found)}; pass a list")
    if length is not None and len(found) != length:
        raise InvalidInput(f"{what}.{name}: has {len(found)} items; pass as many as {other}: {length}")
    return found


def _numbers(what: str, data: Mapping[str, Any], name: str, length: int | None = None, other: str = "") -> int:
    found = _list(what, data, name, length, other)
    _check_numbers(f"{what}.{name}", found)
    return len(found)


def _table(what: str, rows: list[Any], columns: int) -> None:
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != columns:
            raise InvalidInput(f"{what}[{index}]: is {_kind(row)}; pass a list of {columns} numbers")
        _check_numbers(f"{what}[{index}]", row)


def _check_numbers(what: str, values: list[Any]) -> None:
    for index, value in enumerate(values):
        number = value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))
        if not number:
            raise InvalidInput(f"{what}[{index}]: is {_kind(value)}; pass a number")


def _kind(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "missing" if value is None else f"a {type(value).__name__}"


_CHECKS: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = MappingProxyType(
    {
        "confusion_matrix": _confusion_matrix,
        "accuracy_table": _accuracy_table,
        "residuals": _residuals,
        "predictions": _predictions,
    }
)
