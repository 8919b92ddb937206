"""Metric batches into history: columns in, columns out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from runherald.clock import Clock
from runherald.errors import InvalidEvent
from runherald.events import AmlRunMetricEvent, Event, event_id
from runherald.records import Record
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.series import series_id
from runherald.sinks.writer import TableWriter
from runherald.streams.columns import ColumnProcessor
from runherald.topics import METRICS

NAME = "metrics"

KNOWN_SERIES = 50_000
"""How many series a partition remembers having written; then it forgets them all and writes them anew, which changes nothing. One takes
about 350 bytes, and a worker may have eight partitions."""

Row = tuple[Any, ...]

_SERIES = ("workspace", "run_id", "name", "series_id")
_LOGGED = ("workspace", "run_id", "name", "step", "time", "event_id", "position")
_PLACE = ("_topic", "_partition", "_offset")
_TEXTS = (*_LOGGED, "text", *_PLACE)
_OBJECTS = (*_LOGGED, "kind", "value", *_PLACE)
_DESCRIPTIONS = ("workspace", "run_id", "name", "description", "version", *_PLACE)

_encode = msgspec.json.Encoder().encode


def metrics_processor(db: HistoryDatabase, clock: Clock, *, retry: Retry | None = None) -> ColumnProcessor:
    """Return the processor that writes the metric tables."""
    return ColumnProcessor(NAME, METRICS, MetricProjection, TableWriter(db, NAME, clock, retry=retry))


class Points(Struct, frozen=True):
    """The points of one event, in columns of one length."""

    partition: int
    offset: int
    series: npt.NDArray[np.uint64]
    steps: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class MetricProjection:
    """Turns metric events into rows, and remembers which series it has written."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], int] = {}
        self._forget_rows()

    def add(self, record: Record, event: Event) -> None:
        """Take the points, texts, objects and descriptions of an event in."""
        data = event.data
        assert isinstance(data, AmlRunMetricEvent)  # the topic's only type
        run = (event.workspace, event.run_id)
        place = (record.topic, record.partition, record.offset)
        # Encoded first: it may refuse, and then nothing of the event is taken.
        self._objects += [
            (*run, item.name, item.step, item.time, *_identity(event, position, item.sequence), item.kind, value, *place)
            for position, (item, value) in enumerate(zip(data.objects, _encoded(data), strict=True))
        ]
        self._texts += [
            (*run, item.name, item.step, item.time, *_identity(event, position, item.sequence), item.text, *place)
            for position, item in enumerate(data.texts)
        ]
        self._descriptions += [(*run, name, text, record.offset + 1, *place) for name, text in data.descriptions.items()]
        if data.values:
            self._points.append(self._points_of(record, event, data))

    def drain(self) -> tuple[TableRows, ...]:
        """Return the rows since the last drain: the series first, so that no point is without a name."""
        tables = (
            _series_rows(self._series),
            _point_rows(self._points),
            table_rows("metric_texts", _TEXTS, self._texts),
            table_rows("metric_objects", _OBJECTS, self._objects),
            table_rows("metric_descriptions", _DESCRIPTIONS, self._descriptions),
        )
        self._forget_rows()
        if len(self._known) > KNOWN_SERIES:
            self._known.clear()
        return tuple(table for table in tables if len(table))

    def _forget_rows(self) -> None:
        self._series: list[Row] = []
        self._points: list[Points] = []
        self._texts: list[Row] = []
        self._objects: list[Row] = []
        self._descriptions: list[Row] = []

    def _points_of(self, record: Record, event: Event, data: AmlRunMetricEvent) -> Points:
        ids = np.array([self._series_id(record.offset, event, name) for name in data.names], dtype=np.uint64)
        return Points(
            partition=record.partition,
            offset=record.offset,
            series=ids[np.array(data.series, dtype=np.intp)],
            steps=np.array(data.steps, dtype=np.int64),
            times=np.array(data.times, dtype=np.int64),
            values=_values(data),
        )

    def _series_id(self, offset: int, event: Event, name: str) -> int:
        identity = (event.workspace, event.run_id, name)
        known = self._known.get(identity)
        if known is None:
            known = self._known[identity] = series_id(*identity)
            self._series.append((*identity, known, offset))
        return known


def _identity(event: Event, position: int, sequence: int | None) -> tuple[str, int]:
    """Return what a text or object is known by: the event that its record alone would be, so that one that is sent again in another batch
    is the same; its place in the event where producers of before did not say so."""
    return (event.id, position) if sequence is None else (event_id(event.run_id, event.producer, sequence), 0)


def _encoded(data: AmlRunMetricEvent) -> list[str]:
    """Return the objects' values as JSON."""
    values = []
    for index, item in enumerate(data.objects):
        try:
            values.append(_encode(item.value).decode())
        except (ValueError, OverflowError, RecursionError):
            raise InvalidEvent(f"data.objects[{index}].value", "cannot be written as JSON again; nest it less deep") from None
    return values


def _values(data: AmlRunMetricEvent) -> npt.NDArray[np.float64]:
    values = np.array(data.values, dtype=np.float64)
    for index, text in data.nonfinite.items():
        values[int(index)] = float(text)
    return values


def _series_rows(rows: Sequence[Row]) -> TableRows:
    offsets = np.array([row[-1] for row in rows], dtype=np.uint64)
    return TableRows("metric_series", {name: [row[index] for row in rows] for index, name in enumerate(_SERIES)}, offsets)


def _point_rows(points: Sequence[Points]) -> TableRows:
    if not points:
        return TableRows("metric_points", {}, np.array([], dtype=np.uint64))
    counts = [len(batch.values) for batch in points]
    offsets = np.repeat(np.array([batch.offset for batch in points], dtype=np.uint64), counts)
    columns = {
        "series_id": np.concatenate([batch.series for batch in points]),
        "step": np.concatenate([batch.steps for batch in points]),
        "time": np.concatenate([batch.times for batch in points]),
        "value": np.concatenate([batch.values for batch in points]),
        "_partition": np.full(len(offsets), points[0].partition, dtype=np.uint32),
        "_offset": offsets,
    }
    return TableRows("metric_points", columns, offsets)
