"""Dead letters and stopped processors as Prometheus metrics: read from history, so that they survive every restart."""

from __future__ import annotations

from collections import Counter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from runherald.api import ServerStatus

MOST_REASONS = 100
"""Pairs of processor and reason that have a time series of their own; the rest are one, named `other`."""


def letter_figures(status: ServerStatus) -> list[Metric]:
    """Return the dead letters by processor, reason and state, how many there ever were, and who has stopped because of them."""
    states: Counter[tuple[str, str, str]] = Counter()
    made: Counter[tuple[str, str]] = Counter()
    frequent = sorted(status.letters, key=lambda count: count.open + count.replayed + count.failed_again, reverse=True)
    for rank, count in enumerate(frequent):
        error = count.error if rank < MOST_REASONS else "other"
        for state, number in (("open", count.open), ("replayed", count.replayed), ("failed_again", count.failed_again)):
            states[count.processor, error, state] += number
            made[count.processor, error] += number
    labels = ["processor", "reason"]
    by_state = GaugeMetricFamily("runherald_dead_letters_by_state", "Dead letters by state.", labels=[*labels, "state"])
    for (processor, error, state), number in sorted(states.items()):
        by_state.add_metric([processor, error, state], number)
    ever = CounterMetricFamily("runherald_dead_letters_made", "Records that became dead letters.", labels=labels)
    for (processor, error), number in sorted(made.items()):
        ever.add_metric([processor, error], number)
    stopped = GaugeMetricFamily("runherald_processor_stopped", "1 where too many dead letters stopped a processor.", labels=["processor"])
    for stop in status.stops:
        stopped.add_metric([stop.processor], 1)
    return [by_state, ever, stopped]
