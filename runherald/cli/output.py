"""What commands print: one answer in the format that was asked for.

An answer is data (what `-o json` shows: keys in snake_case, times in ISO 8601, durations in seconds) and, for a person, a table of it. The
default is the table on a terminal and JSON in a pipe. `--query` picks a part of the data by JMESPath, in every format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TextIO, cast

from msgspec import Struct
from msgspec.structs import fields

from runherald.cli.grid import Grid, grid_of, show
from runherald.errors import InvalidInput

FORMATS = ("table", "json", "jsonl", "yaml", "csv", "tsv")


def add_output(parser: argparse.ArgumentParser, *, default: str = "") -> None:
    """Add the options of a command that prints data; `default` is the format everywhere, if there is one."""
    group = parser.add_argument_group("output")
    unsaid = default or "table on a terminal and json in a pipe"
    group.add_argument(
        "-o", "--output", choices=FORMATS, default=default, metavar="FORMAT", help=f"{', '.join(FORMATS)}; {unsaid} if not said"
    )
    group.add_argument("--query", dest="jmespath", metavar="JMESPATH", help="print only this part of the data")


def print_answer(args: argparse.Namespace, answer: object, *, table: Callable[[], Grid | Sequence[Grid]] | None = None) -> None:
    """Print an answer as the options say. `table` draws it for people; without it, or when a part is picked, the data are drawn.

    Raises:
        InvalidInput: the JMESPath expression is wrong.
    """
    out = sys.stdout
    form = format_of(args)
    if form == "table" and not args.jmespath and table is not None:
        drawn = table()
        show([drawn] if isinstance(drawn, Grid) else drawn, out)
        return
    data = to_data(answer)
    if args.jmespath:
        data = _pick(args.jmespath, data)
    if form == "table":
        show([grid_of(data)], out)
    else:
        _WRITERS[form](data, out)


def format_of(args: argparse.Namespace) -> str:
    """Return the format asked for, or the default of where the output goes."""
    return cast("str", args.output) or ("table" if sys.stdout.isatty() else "json")


def to_data(value: object) -> Any:
    """Return a value as what JSON knows: Structs as objects with the names of their fields, times as text in UTC."""
    match value:
        case Struct():
            return {field.name: to_data(getattr(value, field.name)) for field in fields(value)}
        case Enum():
            return to_data(value.value)
        case timedelta():
            return value.total_seconds()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Path():
            return str(value)
        case Mapping():
            return {str(key): to_data(item) for key, item in value.items()}
        case list() | tuple():
            return [to_data(item) for item in cast("Sequence[object]", value)]
        case float() if value != value or value in (float("inf"), float("-inf")):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]  # JSON has no such numbers
        case _:
            return value


def _pick(expression: str, data: Any) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.search(expression, data)
    except JMESPathError as error:
        raise InvalidInput(f"--query: {error}; see https://jmespath.org") from None


def _write_json(data: Any, out: TextIO) -> None:
    import msgspec

    out.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")


def _write_jsonl(data: Any, out: TextIO) -> None:
    for item in _items(data):
        out.write(_compact(item) + "\n")


def _write_yaml(data: Any, out: TextIO) -> None:
    import yaml

    yaml.safe_dump(data, out, sort_keys=False, allow_unicode=True, width=120)


def _write_csv(data: Any, out: TextIO) -> None:
    import csv

    names, rows = _rows(data)
    writer = csv.writer(out, lineterminator="\n")
    if names:
        writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)


def _write_tsv(data: Any, out: TextIO) -> None:
    names, rows = _rows(data)
    for row in ([names] if names else []) + rows:
        out.write("\t".join(_cell(value).translate(_TSV) for value in row) + "\n")


_TSV = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"})
_WRITERS: Mapping[str, Callable[[Any, TextIO], None]] = {
    "json": _write_json,
    "jsonl": _write_jsonl,
    "yaml": _write_yaml,
    "csv": _write_csv,
    "tsv": _write_tsv,
}


def _items(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]


def _rows(data: Any) -> tuple[list[str], list[list[Any]]]:
    """Return column names and rows: those of objects, or rows without names for lists and single values."""
    items = _items(data)
    if items and all(isinstance(item, dict) for item in items):
        names = list(dict.fromkeys(name for item in items for name in item))
        return names, [[item.get(name) for name in names] for item in items]
    return [], [item if isinstance(item, list) else [item] for item in items]


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return _compact(value)


def _compact(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()
