"""What the SDK asks of history in SQL, over the views of docs/schema.md: counts and lists that the API has no call of its own for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runherald.clock import from_micros, to_micros
from runherald.producers.experiment_record import EXPERIMENT_RECORD
from runherald.producers.models.record import FILES, MODEL_RECORD, NAME, VERSION, record_id

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


class ModelRow(Struct, frozen=True, kw_only=True):
    """A version of a model.

    Attributes:
        record_id: of the run that keeps what is said of it.
        files: how many it has.
        properties: ours among them (`runherald.…`).
    """

    record_id: str
    name: str
    version: int
    files: int
    description: str
    created_micros: int
    tags: dict[str, str | None]
    properties: dict[str, str]

    @property
    def created_time(self) -> datetime:
        """When it was registered."""
        return from_micros(self.created_micros)


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


def models(client: ApiClient, workspace: str, name: str | None = None, version: int | None = None) -> Iterator[ModelRow]:
    """Go through the versions of models whose registration is complete: of all, of one name, or that version of it."""
    where = _of_models(workspace, name)
    if name is not None and version is not None:
        where += f" AND run_id = {_quoted(record_id(workspace, name, version))}"
    for key, called, number, files, description, created, tags, flags, properties in _by_name(
        client,
        "run_id",
        f"SELECT run_id, properties['{NAME}'], {_number(VERSION)}, {_number(FILES)}, description,"  # noqa: S608 (quoted texts)
        f" toUnixTimestamp64Micro(assumeNotNull(created_time)), tags, flags, properties FROM runs WHERE {where} AND {_number(FILES)} > 0",
    ):
        yield ModelRow(
            record_id=key,
            name=called,
            version=int(number),
            files=int(files),
            description=description,
            created_micros=int(created),
            tags={**tags, **dict.fromkeys(flags)},
            properties=properties,
        )


def greatest_version(client: ApiClient, workspace: str, name: str) -> int:
    """Return the greatest version of a model that was ever begun to be registered; 0 where there is none."""
    answer = client.query(f"SELECT max({_number(VERSION)}) FROM runs WHERE {_of_models(workspace, name)}")  # noqa: S608 (quoted texts)
    return int(answer.rows[0][0])


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


def _of_models(workspace: str, name: str | None) -> str:
    named = "" if name is None else f" AND properties['{NAME}'] = {_quoted(name)}"
    return f"workspace = {_quoted(workspace)} AND run_type = '{MODEL_RECORD}'{named}"


def _number(key: str) -> str:
    return f"toUInt32OrZero(properties['{key}'])"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
