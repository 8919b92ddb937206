"""The table functions that users may call: small series and rows written out. Their arguments are literals and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runherald.sinks.errors import QueryRefused

MAX_ROWS = 1_000_000

_SERIES = frozenset({"numbers", "generate_series", "generateSeries"})
# A column list may hold DEFAULT and an expression; names and types with their arguments cannot spell one.
_STRUCTURE = re.compile(r"[A-Za-z0-9_]+ +[A-Za-z0-9_]+(\([A-Za-z0-9_, ]*\))?( *, *[A-Za-z0-9_]+ +[A-Za-z0-9_]+(\([A-Za-z0-9_, ]*\))?)*")


def check_table_function(node: Mapping[str, Any]) -> None:
    """Check a call in FROM.

    Raises:
        QueryRefused: another function, an argument that is no literal, or a series of more than a million rows.
    """
    name = str(node.get("name"))
    if (name not in _SERIES and name != "values") or node.get("parameters") or node.get("window_definition"):
        raise QueryRefused(f"table function {name[:80]} is not allowed; there are numbers, generate_series and values, and the views")
    arguments = node.get("arguments", {}).get("children", [])
    literals = [_literal(name, argument) for argument in arguments]
    if name == "values":
        _check_values(literals)
    else:
        _check_series(name, literals)


def _literal(function: str, node: Mapping[str, Any]) -> Mapping[str, Any]:
    if node.get("type") != "Literal" or set(node) - {"type", "value", "alias"}:
        raise QueryRefused(f"the arguments of {function} must be written out as numbers, texts or tuples of them")
    value: Mapping[str, Any] = node["value"]
    return value


def _check_values(literals: list[Mapping[str, Any]]) -> None:
    if literals and literals[0].get("field_type") == "String" and not _STRUCTURE.fullmatch(str(literals[0].get("value"))):
        raise QueryRefused("the first argument of values must be a list of names and types, such as 'run String, step Int64'")


def _check_series(function: str, literals: list[Mapping[str, Any]]) -> None:
    numbers = [int(literal["value"]) for literal in literals if literal.get("field_type") in ("UInt64", "Int64")]
    if not 1 <= len(numbers) <= 3 or len(numbers) != len(literals):
        raise QueryRefused(f"the arguments of {function} must be one to three whole numbers")
    if function == "numbers":
        rows = numbers[0] if len(numbers) == 1 else numbers[1]
    else:
        if len(numbers) == 1:
            raise QueryRefused(f"{function} needs a start and an end")
        step = numbers[2] if len(numbers) == 3 else 1
        if step == 0:
            raise QueryRefused(f"the step of {function} may not be 0")
        rows = (numbers[1] - numbers[0]) // step + 1
    if rows > MAX_ROWS or rows < 0:
        raise QueryRefused(f"{function} may give at most {MAX_ROWS:,} rows here, not {rows:,}")
