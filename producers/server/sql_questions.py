"""What the SDK asks of history in SQL, over the views of docs/schema.md: counts and lists that the API has no call of its own for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runherald.clock import to_micros
from runherald.producers.experiment_record import EXPERIMENT_RECORD

if TYPE_CHECKING:
    from runherald.producers.server.client import ApiClient


ROWS_AT_ONCE = 1_000


class OutputRow(Struct, frozen=True):
    """A file of a run."""

    path: str
    size: int
    sha256: str
    uri: str


class ExperimentRow(Struct, frozen=True):
    """An experiment of a workspace: how many runs it has, and since when it is archived, as ISO 8601; empty while it is not."""

    name: str
    runs: int
    archived_time: str


def run_number(client: ApiClient, workspace: str, experiment: str, run_id: str, created: datetime) -> int:
    """Return how many runs of an experiment were created before a run, and one for itself."""
    micros = to_micros(created)
    answer = client.query(
        "SELECT countIf(toUnixTimestamp64Micro(assumeNotNull(created_time)) < "  # noqa: S608 (numbers and quoted texts)
        f"{micros} OR (toUnixTimestamp64Micro(assumeNotNull(created_time)) = {micros} AND run_id <= {_quoted(run_id)})) FROM runs"
        f" WHERE workspace = {_quoted(workspace)} AND experiment = {_quoted(experiment)} AND run_type != '{EXPERIMENT_RECORD}'"
        " AND isNotNull(created_time)"
    )
    return int(answer.rows[0][0])


def experiments(client: ApiClient, workspace: str) -> Iterator[ExperimentRow]:
    """Go through the experiments of a workspace, by name."""
    for name, runs, archived in _by_name(
        client,
        "experiment",
        f"SELECT experiment, countIf(run_type != '{EXPERIMENT_RECORD}' AND life != 'Deleted'),"  # noqa: S608 (quoted texts)
        f" anyIf(params['archived_time'], run_type = '{EXPERIMENT_RECORD}') FROM runs WHERE workspace = {_quoted(workspace)}",
        "GROUP BY experiment",
    ):
        yield ExperimentRow(name, int(runs), archived)


def outputs(client: ApiClient, run_id: str) -> Iterator[OutputRow]:
    """Go through the files of a run, by name."""
    for path, size, sha256, uri in _by_name(
        client,
        "path",
        f"SELECT path, size, sha256, uri FROM outputs WHERE run_id = {_quoted(run_id)}",  # noqa: S608 (a quoted text)
    ):
        yield OutputRow(path, int(size), sha256, uri)


def next_steps(client: ApiClient, workspace: str, run_id: str) -> dict[str, int]:
    """Return, for each name that a run logged under, the step after its greatest."""
    where = f"FROM {{}} WHERE workspace = {_quoted(workspace)} AND run_id = {_quoted(run_id)}"
    steps: dict[str, int] = {}
    for view in ("metrics", "objects"):
        for name, greatest in _by_name(client, "name", f"SELECT name, max(step) {where.format(view)}", "GROUP BY name"):
            steps[name] = max(int(greatest) + 1, steps.get(name, 0))
    return steps


def _by_name(client: ApiClient, name: str, query: str, group: str = "") -> Iterator[list[Any]]:
    """Go through the rows of a query in order of its first column, which names each: an answer holds so many rows at most."""
    last = ""
    while True:
        answer = client.query(f"{query} AND {name} > {_quoted(last)} {group} ORDER BY {name} LIMIT {ROWS_AT_ONCE}")
        yield from answer.rows
        if not answer.rows or (len(answer.rows) < ROWS_AT_ONCE and not answer.truncated):
            return
        last = answer.rows[-1][0]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
