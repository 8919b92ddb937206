"""Lag of processors and balance of notices as Prometheus metrics; docs/operations.md says what each means."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from runherald.api import ServerStatus
from runherald.streams.health import ProcessorHealth


def lag_figures(status: ServerStatus) -> list[Metric]:
    """Return how far the processors are in each partition, where the partitions end, and the age of the oldest unprocessed record."""
    at = ["topic", "partition"]
    lag = GaugeMetricFamily("runherald_processor_lag", "Records not processed yet.", labels=["processor", *at])
    committed = GaugeMetricFamily("runherald_processor_committed_offset", "Where a processor goes on.", labels=["processor", *at])
    end = GaugeMetricFamily("runherald_log_end_offset", "The offset that a partition's next record gets.", labels=at)
    age = GaugeMetricFamily(
        "runherald_processor_oldest_age_seconds",
        "Age of the oldest record that a processor has not processed; 0 without one.",
        labels=["processor", "topic"],
    )
    ends: dict[tuple[str, str], int] = {}
    for part in status.partitions:
        place = (part.topic, str(part.partition))
        lag.add_metric([part.processor, *place], part.lag)
        committed.add_metric([part.processor, *place], part.committed)
        ends[place] = part.end
    for place, offset in ends.items():
        end.add_metric(place, offset)
    for each in status.processors:
        age.add_metric([each.processor, each.topic], each.age_seconds)
    return [lag, committed, end, age]


def damage_figure(status: ServerStatus) -> Metric:
    """Return the parts of an embedded history that could not be read."""
    parts = GaugeMetricFamily("runherald_history_parts_set_aside", "Parts of a table that could not be read.", labels=["table"])
    for table, count in sorted(status.set_aside.items()):
        parts.add_metric([table], count)
    return parts


def notice_figures(status: ServerStatus, now: datetime) -> list[Metric]:
    """Return the notices by state, and whether each that was decided is accounted for."""
    balance = status.balance
    states = GaugeMetricFamily("runherald_notices", "Notices by state.", labels=["state"])
    # Those that are watched are there from the beginning: a series that is not there meets no rule.
    for state, count in sorted({"accepted": 0, "pending": 0, "refused": 0, "suppressed": 0, **status.notices}.items()):
        states.add_metric([state], count)
    oldest = balance.oldest_pending_time
    waits = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
    unaccounted = GaugeMetricFamily(
        "runherald_notices_unaccounted", "Notices that one side alone knows for over a minute; 0 when nothing is lost.", labels=["side"]
    )
    unaccounted.add_metric(["missing"], balance.missing)
    unaccounted.add_metric(["undecided"], balance.undecided)
    return [
        states,
        GaugeMetricFamily("runherald_notices_decided", "Notices that were decided, suppressed ones included.", value=balance.decided),
        GaugeMetricFamily("runherald_notices_under_way", "Notices that one side alone knows yet.", value=balance.under_way),
        unaccounted,
        GaugeMetricFamily("runherald_notices_oldest_pending_age_seconds", "Age of the oldest pending notice; 0 without.", value=waits),
    ]


def processor_up(health: Iterable[ProcessorHealth]) -> Metric:
    """Return which processors of this process run. Those of Faust's workers are seen by their lag."""
    up = GaugeMetricFamily("runherald_processor_up", "Whether a processor of this server runs.", labels=["processor"])
    for each in health:
        up.add_metric([each.name], each.state in ("starting", "running"))
    return up
