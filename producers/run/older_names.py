"""Names that files of a run had in older versions of Azure ML: scripts still ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")

NAMES_NOW: Mapping[str, str] = MappingProxyType({"azureml-logs/70_driver_log.txt": "user_logs/std_log.txt"})


def name_now(name: str, names: Iterable[str]) -> str:
    """Return the name that a file goes by, of those that a run has."""
    there = set(names)
    now = NAMES_NOW.get(name, name)
    return now if name not in there and now in there else name


def with_older(files: Mapping[str, T]) -> dict[str, T]:
    """Return what is said of files, in the order of their names, under their older names, too."""
    older = {name: files[now] for name, now in NAMES_NOW.items() if now in files}
    return dict(sorted({**older, **files}.items()))
