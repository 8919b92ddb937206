"""The list of runs out of a million, and the curves of a run out of a hundred million points.

    python benchmarks/history_reads.py [--runs 1000000] [--points 100000000] [--folder FOLDER]

History is made by INSERT SELECT into `run_state` and `metric_points`, in many inserts, so that the index and the parts are as writers
leave them: most runs written once, some again and again, nothing merged by hand. A folder that is named is kept, and used again.
Processor time stands beside the time that passed: other work on the machine lengthens the second alone.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from figure import Figure, lines, machine, percentile

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.sinks.queries import HistoryReader, RunFilter
from runherald.studio.pages import FIRST_CHILDREN, PAGE_RUNS

RUNS = 1_000_000
POINTS = 100_000_000
SERIES_OF_RUN = 10
POINTS_OF_SERIES = 5_000
ROUNDS = 40
BUDGET = 50.0
"""Milliseconds, of the 95th percentile."""

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_APART = timedelta(seconds=25)
"""Between two runs: a million begin in ten months."""

_RUNS = """
INSERT INTO run_state
SELECT
    'default' AS workspace, lower(hex(sipHash128(n))) AS run_id, {version} AS version,
    concat('{{"state of": "', run_id, '", "padding": "', randomPrintableASCII(700), '"}}') AS state,
    {status} AS status, concat('experiment-', toString(toUInt32(pow(n % 1009 / 1009, 3) * 100))) AS experiment_name,
    concat('trial ', toString(n)) AS display_name, if(n % 4 = 3, lower(hex(sipHash128(n - 3))), '') AS parent_run_id,
    parent_run_id AS root_run_id, 'script' AS run_type, 'local' AS compute_target, concat('user', toString(n % 40)) AS user,
    if(status = 'Failed', 'ValueError: loss is NaN', '') AS error_message, 1 AS attempt, 4 AS revision,
    multiIf(n % 50 = 9, 'Archived', n % 500 = 11, 'Deleted', 'Active') AS life,
    toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(n * 25) AS created_time, created_time + 60 AS start_time,
    if(status IN ('Completed', 'Failed', 'Canceled'), created_time + 3600, toDateTime64(0, 6, 'UTC')) AS end_time,
    map('team', concat('t', toString(n % 20)), 'note', toString(n % 3)) AS tags, if(n % 30 = 0, ['keep'], []) AS flags,
    map('git', hex(sipHash64(n))) AS properties, map('lr', '0.1', 'batch', '64', 'seed', toString(n % 100)) AS params
FROM (SELECT toUInt64(number) AS n FROM numbers({first}, {count})) WHERE {condition}
SETTINGS max_partitions_per_insert_block = 0
"""
_POINTS = """
INSERT INTO metric_points (series_id, step, time, value)
SELECT cityHash64(intDiv(number, {steps})) AS series_id, {first} + number % {steps} AS step, 1767225600000000 + step * 1000000 AS time,
    exp(-step / 2000) + rand() / 42949672960
FROM numbers({count})
SETTINGS max_insert_threads = 1
"""


class _Times:
    """What calls took, in milliseconds."""

    def __init__(self, call: Callable[[], object], rounds: int) -> None:
        call()
        self.passed: list[float] = []
        self.worked: list[float] = []
        for _ in range(rounds):
            begun, worked = time.perf_counter(), time.process_time()
            call()
            self.passed.append((time.perf_counter() - begun) * 1e3)
            self.worked.append((time.process_time() - worked) * 1e3)

    def figures(self, name: str, note: str = "", budget: float | None = BUDGET) -> Iterator[Figure]:
        """Give the figures of these calls."""
        least, most = min(self.passed), max(self.passed)
        yield Figure(f"{name}, p50", percentile(self.passed, 50), "ms", None, note, least, most)
        yield Figure(f"{name}, p95", percentile(self.passed, 95), "ms", budget, f"processor time p50 {percentile(self.worked, 50):.0f} ms")


def figures() -> list[Figure]:
    """Measure in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="runherald-bench-") as folder:
        return measure(Path(folder), RUNS, POINTS)


def measure(folder: Path, runs: int, points: int) -> list[Figure]:
    """Make what the folder lacks of history, and measure reading it."""
    with_clock = _BEGIN + runs * _APART
    history = HistoryDatabase.open(f"chdb://{folder}/history")
    migrate(history)
    client = history.client()
    if not client.command("SELECT count() FROM run_state"):
        make_runs(history, runs)
    if not client.command("SELECT count() FROM metric_points"):
        make_points(history, points)
    reader = HistoryReader(history, clock=lambda: with_clock)
    found = [
        *_Times(lambda: client.query("SELECT 1"), ROUNDS).figures("SELECT 1", "the limit: a query that reads nothing", None),
        *_list_figures(reader, f"of {runs:,} runs"),
        *_curve_figures(reader, points, f"of {points:,} points"),
    ]
    history.close()
    return found


def make_runs(history: HistoryDatabase, runs: int) -> None:
    """Write runs, then some of all ages again, then the newest again and again."""
    status = (
        f"multiIf(n >= {runs} - 300, 'Running', n % 20000 = 7, 'NotResponding', n % 10 = 3, 'Failed', n % 25 = 4, 'Canceled', 'Completed')"
    )
    step = max(1, runs // 10)
    for first in range(0, runs, step):
        _insert_runs(history, "n + 1", status, first, min(step, runs - first))
    for again in range(1, 21):
        _insert_runs(history, f"{again * runs} + n + 1", status, 0, runs, f"cityHash64(n, {again}) % 2000 = 0")
    for again in range(21, 31):
        _insert_runs(history, f"{again * runs} + n + 1", f"if(n % 30 < {again} - 20, 'Completed', 'Running')", max(0, runs - 500), 500)


def make_points(history: HistoryDatabase, points: int) -> None:
    """Write runs of ten series of five thousand points, in inserts of which each has a tenth of every series."""
    series = max(SERIES_OF_RUN, points // POINTS_OF_SERIES)
    client = history.client()
    client.command(
        "INSERT INTO metric_series (workspace, run_id, name, series_id) SELECT 'default',"
        f" concat('run-', toString(intDiv(number, {SERIES_OF_RUN}))), concat('metric-', toString(number % {SERIES_OF_RUN})),"
        f" cityHash64(number) FROM numbers({series})"
    )
    steps = POINTS_OF_SERIES // 10
    for first in range(0, POINTS_OF_SERIES, steps):
        client.command(_POINTS.format(steps=steps, first=first, count=series * steps))


def _insert_runs(history: HistoryDatabase, version: str, status: str, first: int, count: int, condition: str = "1") -> None:
    query = _RUNS.format(version=version, status=status, first=first, count=count, condition=condition)
    columns = (
        "workspace, run_id, version, state, status, experiment_name, display_name, parent_run_id, root_run_id, run_type, compute_target,"
        " user, error_message, attempt, revision, life, created_time, start_time, end_time, tags, flags, properties, params"
    )
    history.client().command(query.replace("INTO run_state", f"INTO run_state ({columns})"))


def _list_figures(reader: HistoryReader, note: str) -> Iterator[Figure]:
    older = reader.runs(limit=PAGE_RUNS).next
    for name, wanted in {
        "newest": RunFilter(),
        "of an experiment": RunFilter(experiment="experiment-3"),
        "failed": RunFilter(statuses=("Failed",)),
        "not responding (1 in 20,000)": RunFilter(statuses=("NotResponding",)),
        "with a tag": RunFilter(tag="team=t7"),
        "with a tag that none has": RunFilter(tag="nothing"),
    }.items():
        yield from _Times(lambda wanted=wanted: reader.runs(wanted, limit=PAGE_RUNS), ROUNDS).figures(f"50 runs, {name}", note)  # type: ignore[misc]
    yield from _Times(lambda: reader.runs(cursor=older, limit=PAGE_RUNS), ROUNDS).figures("50 runs, the second page", note)
    yield from _Times(reader.status_counts, ROUNDS).figures("counts by status", note)
    yield from _Times(lambda: _page(reader), ROUNDS).figures("all reads of the list's page", note)


def _page(reader: HistoryReader) -> None:
    page = reader.runs(RunFilter(root_only=True), limit=PAGE_RUNS)
    reader.families([run.run_id for run in page.runs], FIRST_CHILDREN)
    reader.status_counts()
    reader.experiments()


def _curve_figures(reader: HistoryReader, points: int, note: str) -> Iterator[Figure]:
    draw = random.Random(1)
    runs = max(1, points // POINTS_OF_SERIES // SERIES_OF_RUN)
    one = f"{SERIES_OF_RUN} curves of a run, {POINTS_OF_SERIES:,} points each"
    yield from _Times(lambda: reader.curves([f"run-{draw.randrange(runs)}"]), ROUNDS).figures(one, note)
    yield from _Times(lambda: reader.metrics(f"run-{draw.randrange(runs)}", name="metric-3"), ROUNDS).figures(
        f"one metric whole, {POINTS_OF_SERIES:,} points", note
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    print(machine(), flush=True)
    if options.folder:
        print("\n".join(lines(measure(options.folder, options.runs, options.points))))
        return
    with tempfile.TemporaryDirectory(prefix="runherald-bench-") as folder:
        print("\n".join(lines(measure(Path(folder), options.runs, options.points))))


if __name__ == "__main__":
    main()
