"""Reading rows with bound parameters, and what to tell when history does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from runherald.errors import Unreachable
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import classify

Rows = Sequence[tuple[Any, ...]]

LONG: Mapping[str, int] = MappingProxyType({"send_progress_in_http_headers": 1, "http_headers_progress_interval_ms": 20_000})
"""Settings of statements that may take longer than a connection waits for an answer: a server then says every 20 seconds that it works."""


def select(db: HistoryDatabase, query: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None) -> Rows:
    """Return the rows of a query. Values stand in it as `{name:Type}` and are bound by the engine.

    Raises:
        Unreachable: the database is away or busy; the same query can succeed later.
    """
    try:
        return cast("Rows", db.client().query(query, dict(parameters or {}), settings=dict(settings or {})).result_rows)
    except (ClickHouseError, HTTPError, OSError) as error:
        if classify(error) == "retriable":
            raise Unreachable(f"history {db.url_for_humans}: cannot answer now; try again") from error
        raise
