"""Users' queries, changed a little at a time: the guard takes them or says why not, and what it took runs or says why not."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runherald.sinks.errors import QueryFailed, QueryRefused
from runherald.sinks.guard.guard import QueryGuard
from tests.fixtures.guard import SECRET
from tests.fuzz.odd import changed

FIXED = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
QUERIES = (
    b"SELECT run_id, name, max(value) AS best FROM metrics WHERE name LIKE 'lo%' GROUP BY run_id, name ORDER BY best DESC LIMIT 3",
    b"WITH failed AS (SELECT * FROM runs WHERE status = 'Failed') SELECT count() FROM failed",
    b"SELECT r.name, m.step FROM runs AS r INNER JOIN metrics AS m ON m.run_id = r.run_id WHERE m.step IN (1, 2, 3)",
    b"SELECT * EXCEPT (labels) REPLACE (duration * 2 AS duration) FROM runs WHERE labels['team'] = 'vision'",
    b"SELECT arrayMap(x -> x + 1, [1, 2]), CAST('1' AS UInt8), toDate('2026-01-01') + INTERVAL 1 DAY, if(1, 'a', 'b')",
    b"SELECT quantile(0.9)(value) OVER (PARTITION BY run_id ORDER BY step ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM metrics",
    b"SELECT 1 UNION ALL SELECT 2 SETTINGS max_threads = 1 FORMAT JSON",
)
FORBIDDEN = (
    "run_events",
    "metric_points",
    "system.tables",
    "file('/etc/passwd')",
    "url('http://127.0.0.1:9')",
    "remote('127.0.0.1', runs)",
)


@given(changed(QUERIES))
@settings(FIXED, max_examples=120)
def test_changed_queries(guard: QueryGuard, text: bytes) -> None:
    ask(guard, text.decode(errors="surrogateescape"))


@given(st.sampled_from(QUERIES), st.sampled_from(FORBIDDEN), st.sampled_from(["runs", "metrics", "failed", "*", "value", "1", "'a'"]))
@settings(FIXED, max_examples=80)
def test_nothing_forbidden_comes_in_anywhere(guard: QueryGuard, text: bytes, forbidden: str, place: str) -> None:
    assert SECRET not in ask(guard, text.decode().replace(place, f"(SELECT * FROM {forbidden})"))
    assert SECRET not in ask(guard, text.decode().replace(place, forbidden))


def ask(guard: QueryGuard, text: str) -> str:
    """Return all that came of a query: rows, or why there are none."""
    try:
        answer = guard.run(guard.check(text))
    except (QueryRefused, QueryFailed) as error:
        str(error).encode()
        return str(error)
    return str(answer.rows)
