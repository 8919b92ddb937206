"""Metric batches into history: columns in, columns out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from runherald.clock import Clock
from runherald.events import AmlRunMetricEvent, Event
from runherald.records import Record
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.series import series_id
from runherald.sinks.writer import TableWriter
from runherald.streams.columns import ColumnProcessor, Placed
from runherald.topics import METRICS

NAME = "metrics"

KNOWN_SERIES = 200_000
"""How many series a partition remembers having written; then it forgets them all and writes them anew, which changes nothing."""

Batch = tuple[Record, Event, AmlRunMetricEvent]

_SERIES = ("workspace", "run_id", "name", "series_id")
_TEXTS = ("workspace", "run_id", "name", "step", "time", "event_id", "position", "text", "_topic", "_partition", "_offset")
_OBJECTS = ("workspace", "run_id", "name", "step", "time", "event_id", "position", "kind", "value", "_topic", "_partition", "_offset")
_DESCRIPTIONS = ("workspace", "run_id", "name", "description", "version", "_topic", "_partition", "_offset")


def metrics_processor(db: HistoryDatabase, clock: Clock, *, writer: TableWriter | None = None) -> ColumnProcessor:
    """Return the processor that writes the metric tables."""
    return ColumnProcessor(NAME, METRICS, MetricProjection, writer or TableWriter(db, NAME, clock))


class MetricProjection:
    """Turns metric events into rows, and remembers which series it has named."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], int] = {}
        self._encode = msgspec.json.Encoder(order="sorted").encode

    def __call__(self, events: Sequence[Placed]) -> tuple[TableRows, ...]:
        """Return the rows: the series first, so that no point is without a name."""
        if len(self._series) > KNOWN_SERIES:
            self._series.clear()
        batches = [(record, event, event.data) for record, event in events if isinstance(event.data, AmlRunMetricEvent)]
        named: list[tuple[object, ...]] = []
        points = self._points(batches, named)
        tables = (
            _series(named),
            points,
            _table("metric_texts", _TEXTS, self._texts(batches)),
            _table("metric_objects", _OBJECTS, self._objects(batches)),
            _table("metric_descriptions", _DESCRIPTIONS, _descriptions(batches)),
        )
        return tuple(table for table in tables if table is not None)

    def _points(self, batches: Sequence[Batch], named: list[tuple[object, ...]]) -> TableRows | None:
        batches = [batch for batch in batches if batch[2].values]
        if not batches:
            return None
        counts = [len(data.values) for _, _, data in batches]
        offsets = np.repeat(np.array([record.offset for record, _, _ in batches], dtype=np.uint64), counts)
        partition = batches[0][0].partition
        columns = {
            "series_id": np.concatenate([self._ids(batch, named)[np.array(batch[2].series, dtype=np.intp)] for batch in batches]),
            "step": np.concatenate([np.array(data.steps, dtype=np.int64) for _, _, data in batches]),
            "time": np.concatenate([np.array(data.times, dtype=np.int64) for _, _, data in batches]),
            "value": np.concatenate([_values(data) for _, _, data in batches]),
            "_partition": np.full(len(offsets), partition, dtype=np.uint32),
            "_offset": offsets,
        }
        return TableRows("metric_points", columns, offsets)

    def _ids(self, batch: Batch, named: list[tuple[object, ...]]) -> npt.NDArray[np.uint64]:
        record, event, data = batch
        return np.array([self._id(record.offset, event, name, named) for name in data.names], dtype=np.uint64)

    def _id(self, offset: int, event: Event, name: str, named: list[tuple[object, ...]]) -> int:
        identity = (event.workspace, event.run_id, name)
        known = self._series.get(identity)
        if known is None:
            known = self._series[identity] = series_id(*identity)
            named.append((*identity, known, offset))
        return known

    def _texts(self, batches: Sequence[Batch]) -> Iterator[tuple[object, ...]]:
        for record, event, data in batches:
            for position, item in enumerate(data.texts):
                yield (
                    *(event.workspace, event.run_id, item.name, item.step, item.time, event.id, position, item.text),
                    *(record.topic, record.partition, record.offset),
                )

    def _objects(self, batches: Sequence[Batch]) -> Iterator[tuple[object, ...]]:
        for record, event, data in batches:
            for position, item in enumerate(data.objects):
                value = self._encode(item.value).decode()
                yield (
                    *(event.workspace, event.run_id, item.name, item.step, item.time, event.id, position, item.kind, value),
                    *(record.topic, record.partition, record.offset),
                )


def _values(data: AmlRunMetricEvent) -> npt.NDArray[np.float64]:
    values = np.array(data.values, dtype=np.float64)
    for index, text in data.nonfinite.items():
        values[int(index)] = float(text)
    return values


def _descriptions(batches: Sequence[Batch]) -> Iterator[tuple[object, ...]]:
    for record, event, data in batches:
        for name, description in data.descriptions.items():
            yield (event.workspace, event.run_id, name, description, record.offset + 1, record.topic, record.partition, record.offset)


def _series(named: Sequence[tuple[object, ...]]) -> TableRows | None:
    if not named:
        return None
    *columns, offsets = zip(*named, strict=True)
    return TableRows("metric_series", dict(zip(_SERIES, columns, strict=True)), np.array(offsets, dtype=np.uint64))


def _table(table: str, names: Sequence[str], rows: Iterator[tuple[object, ...]]) -> TableRows | None:
    listed = list(rows)
    return table_rows(table, names, listed) if listed else None
