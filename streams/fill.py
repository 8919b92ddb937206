"""How full the places are where something waits, and what bounds them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric


class Fill(Struct, frozen=True):
    """How full one place is.

    Attributes:
        queue: its name; docs/operations.md says what waits there, and what happens when it is full.
        size: bytes, where what waits can be large. The last that found room may be above the limit of them, never more than one.
        size_limit: 0 where bytes are not counted, since each item is small.
    """

    queue: str
    items: int
    items_limit: int
    size: int = 0
    size_limit: int = 0


Filled = tuple[str, Fill]
"""A processor, or nothing, and a place where something waits for it."""


def fill_figures(fills: Iterable[Filled]) -> list[Metric]:
    """Return how full the places are, and their bounds, as Prometheus metrics."""
    labels = ["queue", "processor"]
    items = GaugeMetricFamily("runherald_queue_items", "What waits.", labels=labels)
    items_limit = GaugeMetricFamily("runherald_queue_items_limit", "What may wait at most.", labels=labels)
    size = GaugeMetricFamily("runherald_queue_bytes", "Bytes of what waits.", labels=labels)
    size_limit = GaugeMetricFamily("runherald_queue_bytes_limit", "Bytes above which nothing more is taken.", labels=labels)
    for processor, fill in fills:
        at = [fill.queue, processor]
        items.add_metric(at, fill.items)
        items_limit.add_metric(at, fill.items_limit)
        if fill.size_limit:
            size.add_metric(at, fill.size)
            size_limit.add_metric(at, fill.size_limit)
    return [items, items_limit, size, size_limit]
