"""What a user is told when the engine ends a query that was allowed."""

from __future__ import annotations

from runherald.sinks.errors import QueryFailed, describe_engine_error, engine_error_code
from runherald.sinks.guard.answer import QueryLimits

_TOO_LONG = frozenset({159, 160, 394})  # TIMEOUT_EXCEEDED, TOO_SLOW, QUERY_WAS_CANCELLED
_TOO_MUCH_MEMORY = 241
_DENIED = 497
_NO_TABLE = frozenset({60, 81})


def query_failed(message: str, limits: QueryLimits) -> QueryFailed:
    """Return the error for what the engine said."""
    code = engine_error_code(message)
    if code in _TOO_LONG:
        return QueryFailed(f"the query took longer than {limits.seconds:g} s; read less with WHERE on run_id, experiment or time", code)
    if code == _TOO_MUCH_MEMORY:
        return QueryFailed(f"the query needed more than {limits.memory // 2**20} MiB of memory; read or sort less", code)
    if code == _DENIED:
        return QueryFailed("the database does not let queries read this; run `runherald migrate`, which sets up their rights", code)
    if code in _NO_TABLE:
        return QueryFailed("the views are not there yet; run `runherald migrate`", code)
    return QueryFailed(describe_engine_error(message) or "the database ended the query without a reason", code)
