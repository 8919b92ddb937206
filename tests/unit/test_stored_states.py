"""Runs' states are asked for in as few queries as their addresses hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry
from runherald.streams.stored_states import StoredStates

SHORTEST_LIMIT = 64 * 1024


class Asked:
    """A history that knows no run, and what it was asked."""

    def __init__(self) -> None:
        self.parameters: list[dict[str, Any]] = []

    def client(self) -> Asked:
        return self

    def query(self, _query: str, parameters: dict[str, Any]) -> SimpleNamespace:
        self.parameters.append(parameters)
        return SimpleNamespace(result_rows=[])


@pytest.mark.parametrize(("length", "queries"), [(1, 1), (36, 2), (256, 7)])
async def test_every_run_is_asked_for_once_in_addresses_that_are_short_enough(length: int, queries: int) -> None:
    asked = Asked()
    runs = {("w", f"{number:04}".rjust(length, "r")) for number in range(1_250)}

    assert await StoredStates(cast(HistoryDatabase, asked), Retry()).load(runs) == {}

    assert len(asked.parameters) == queries
    assert sorted(run_id for each in asked.parameters for run_id in each["run_ids"]) == sorted(run_id for _, run_id in runs)
    for each in asked.parameters:
        listed = "[" + ",".join(f"'{run_id}'" for run_id in each["run_ids"]) + "]"
        assert len(urlencode({"param_workspace": each["workspace"], "param_run_ids": listed})) < SHORTEST_LIMIT


async def test_runs_of_two_workspaces_are_asked_for_apart() -> None:
    asked = Asked()

    await StoredStates(cast(HistoryDatabase, asked), Retry()).load({("v", "a"), ("w", "a"), ("w", "b")})

    assert asked.parameters == [{"workspace": "v", "run_ids": ["a"]}, {"workspace": "w", "run_ids": ["a", "b"]}]
