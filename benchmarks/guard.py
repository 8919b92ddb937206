"""What the query guard costs: check and run, against the same query on a plain connection. Prints medians and 95th percentiles.

python benchmarks/guard.py [--rounds 300]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from os import cpu_count
from time import perf_counter

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.guard.guard import QueryGuard

QUERIES = {
    "count": "SELECT count() FROM runs",
    "join": "SELECT r.name, min(m.value) FROM runs AS r JOIN metrics AS m ON r.run_id = m.run_id GROUP BY r.name ORDER BY 1 LIMIT 10",
    "window": (
        "WITH last AS (SELECT run_id, step, value, row_number() OVER (PARTITION BY run_id ORDER BY step DESC) AS n FROM metrics) "
        "SELECT run_id, value FROM last WHERE n = 1 AND run_id IN (SELECT run_id FROM runs WHERE name LIKE 'lr%') ORDER BY run_id LIMIT 10"
    ),
}

_TABLES = (
    "CREATE TABLE runs_table (run_id String, name String) ENGINE = MergeTree ORDER BY run_id",
    "INSERT INTO runs_table SELECT toString(number), 'lr ' || toString(number) FROM numbers(100)",
    "CREATE TABLE points (run_id String, step Int64, value Float64) ENGINE = MergeTree ORDER BY (run_id, step)",
    "INSERT INTO points SELECT toString(number % 100), intDiv(number, 100), number / 7 FROM numbers(10000)",
    "CREATE VIEW runs DEFINER = default SQL SECURITY DEFINER AS SELECT * FROM runs_table",
    "CREATE VIEW metrics DEFINER = default SQL SECURITY DEFINER AS SELECT * FROM points",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    rounds: int = parser.parse_args().rounds
    print(f"{platform.machine()}, {cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds; ms, median / 95th percentile")
    with tempfile.TemporaryDirectory() as folder:
        history = HistoryDatabase.open(f"chdb://{folder}/history")
        client = history.client()
        for statement in _TABLES:
            client.command(statement)
        started = perf_counter()
        guard = QueryGuard.open(history)
        print(f"open the guard: {(perf_counter() - started) * 1e3:.0f}")
        print(f"{'query':8} {'check':>15} {'run':>15} {'plain connection':>18}")
        for name, text in QUERIES.items():
            query = guard.check(text)
            check = _measure(rounds, partial(guard.check, text))
            run = _measure(rounds, partial(guard.run, query))
            plain = _measure(rounds, partial(client.raw_query, text, fmt="JSONCompactEachRow"))
            print(f"{name:8} {check:>15} {run:>15} {plain:>18}")
        guard.close()
        history.close()


def _measure(rounds: int, call: Callable[[], object]) -> str:
    times: list[float] = []
    for _ in range(rounds):
        started = perf_counter()
        call()
        times.append((perf_counter() - started) * 1e3)
    return f"{statistics.median(times):.2f} / {statistics.quantiles(times, n=20)[-1]:.2f}"


if __name__ == "__main__":
    main()
