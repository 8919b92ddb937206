"""What the metrics' projection remembers between flushes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runherald.events import AmlRunMetricEvent, new_event
from runherald.records import Record
from runherald.streams import metrics
from runherald.streams.metrics import MetricProjection

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def written(projection: MetricProjection, *names: str) -> list[str]:
    """Log a point of each metric, and return the names of the series that are written for them."""
    data = AmlRunMetricEvent(
        names=names, series=list(range(len(names))), steps=[0] * len(names), times=[0] * len(names), values=[1.0] * len(names)
    )
    event = new_event(data, workspace="default", run_id="run-1", producer="p", sequence=0, time=NOW)
    projection.add(Record("runherald.metrics", 0, 7, 0, b"run-1", b""), event)
    return [str(name) for rows in projection.drain() if rows.table == "metric_series" for name in rows.columns["name"]]


def test_a_series_is_written_once_and_above_the_bound_all_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "KNOWN_SERIES", 3)
    projection = MetricProjection()
    assert written(projection, "a", "b", "c") == ["a", "b", "c"]
    assert written(projection, "a", "d") == ["d"]
    assert written(projection, "a", "d") == ["a", "d"], "four were above the bound: none is remembered"
    assert written(projection, "a", "d") == []
