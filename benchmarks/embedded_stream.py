"""Records from the embedded log to history, with the embedded runner and chDB; and the same points straight into the engine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from feed import POINTS_OF_MESSAGE, append, metric_records, progress, rules_text, status_records, work_off
from figure import Figure, of_rounds

from runherald.alerts.rules import load_rules
from runherald.cli.parts import processors
from runherald.clock import micros_now
from runherald.settings import Mail, Settings
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.embedded_runner import EmbeddedRunner
from runherald.topics import EVENTS, METRICS, STATUS

ROUNDS = 3
MESSAGES = 600
RUNS = 2_500
RULES = 1_000


def figures() -> list[Figure]:
    """Measure points and status events, each in some rounds on one history."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules = folder / "rules.yaml"
        rules.write_text(rules_text(RULES))
        with closing(HistoryDatabase.open(f"chdb://{folder / 'history'}")) as history, closing(EmbeddedLog(folder)) as log:
            migrate(history)
            made = processors(Settings(), lambda: history, load_rules([rules]), mail=Mail(), public_url="")

            def rate(name: str, topic: str, count: int, then: Mapping[str, str]) -> float:
                wanted = progress(log, name, topic) + count
                runner = EmbeddedRunner(log, {each: made[each] for each in (name, *then)})
                runner.start()
                try:
                    return work_off(log, (name, topic), wanted, then=then, pause=0.005)
                finally:
                    runner.stop()

            points, events, limit = [], [], []
            for _ in range(ROUNDS):
                count = append(log, metric_records(MESSAGES))
                points.append(rate("metrics", METRICS, count, {}) * POINTS_OF_MESSAGE)
                limit.append(insert_rate(history, MESSAGES * POINTS_OF_MESSAGE))
            for _ in range(ROUNDS):
                count = append(log, status_records(RUNS))
                events.append(rate("history", EVENTS, count, {"alerting": STATUS}))
    return [
        of_rounds("metric points, embedded", points, "/s", 2e6, more_is_better=True, note="log to rows; the budget is Faust's"),
        of_rounds("the same points as prepared columns", limit, "/s", note="clickhouse-connect to chDB, nothing else: the limit"),
        of_rounds("status events, history and 1,000 rules, embedded", events, "/s", 3e4, more_is_better=True),
    ]


def insert_rate(history: HistoryDatabase, rows: int) -> float:
    """Return how many points of prepared columns are inserted each second, in the blocks of 200,000."""
    draw = np.random.default_rng(1)
    now = micros_now()
    columns: dict[str, np.ndarray[tuple[int], np.dtype[np.generic]]] = {
        "series_id": np.repeat(draw.integers(0, 2**63, rows // 100, dtype=np.uint64), 100),
        "step": np.tile(np.arange(100, dtype=np.int64), rows // 100),
        "time": np.arange(now, now + rows, dtype=np.int64),
        "value": draw.random(rows),
        "_partition": np.zeros(rows, dtype=np.uint32),
        "_offset": np.repeat(np.arange(rows // 1_000, dtype=np.uint64), 1_000),
    }
    client = history.client()
    begun = time.perf_counter()
    for first in range(0, rows, 200_000):
        block: Sequence[object] = [column[first : first + 200_000] for column in columns.values()]
        client.insert("metric_points", block, column_names=list(columns), column_oriented=True)  # type: ignore[arg-type]
    return rows / (time.perf_counter() - begun)
