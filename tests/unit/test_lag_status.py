"""Lag of processors, what is known when a part is away, and the figures made of it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.metrics_core import Metric

from runherald.api import NoticeBalance, PartitionStatus, ServerStatus
from runherald.errors import RunheraldError, Unreachable
from runherald.records import TopicPartition
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.health import ProcessorHealth
from runherald.studio.bounded import Bounded
from runherald.studio.lag_figures import lag_figures, notice_figures, processor_up
from runherald.studio.processor_lag import LogLag, processor_statuses
from runherald.studio.status_page import listed
from runherald.topics import EVENTS

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def part(
    partition: int, *, committed: int = 5, end: int = 5, age: float | None = None, processor: str = "history", topic: str = "t"
) -> PartitionStatus:
    oldest = None if age is None else NOW - timedelta(seconds=age)
    return PartitionStatus(
        processor=processor, topic=topic, partition=partition, committed=committed, end=end, lag=end - committed, oldest_time=oldest
    )


def status(*parts: PartitionStatus) -> ServerStatus:
    processors = processor_statuses(parts, NOW)
    return ServerStatus(version="1", log="l", history="h", partitions=list(parts), processors=processors)


def samples(metric: Metric) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in metric.samples}


def test_partitions_fold_to_their_processor_and_its_oldest_record() -> None:
    (leases, history) = processor_statuses(
        [part(0, committed=1, end=4, age=3.0), part(1), part(2, committed=2, end=9, age=70.0), part(0, processor="leases", age=-5.0)], NOW
    )[::-1]
    assert (history.processor, history.partitions, history.committed, history.end, history.lag) == ("history", 3, 8, 18, 10)
    assert (history.age_seconds, history.oldest_time) == (70.0, NOW - timedelta(seconds=70))
    assert leases.age_seconds == 0.0, "a clock that is ahead makes nothing younger than now"


def test_a_processor_without_lag_has_no_age() -> None:
    (each,) = processor_statuses([part(0)], NOW)
    assert (each.lag, each.oldest_time, each.age_seconds) == (0, None, 0.0)


@pytest.mark.parametrize(("limit", "names"), [(60.0, ["late", "early"]), (0.0, ["early", "late"])])
def test_who_lags_stands_first_unless_nobody_watches(limit: float, names: list[str]) -> None:
    rows = listed(status(part(0, processor="early"), part(0, processor="late", committed=0, age=60.0)), limit)
    assert [row.total.processor for row in rows] == names
    assert [row.late for row in rows] == [limit > 0, False]


def test_lag_counts_from_what_is_committed_or_kept() -> None:
    log = _Log(begins={0: 3, 1: 0}, ends={0: 10, 1: 4}, committed={0: 1, 1: 4})
    parts = LogLag(log, {"history": (EVENTS,)})()
    assert [(each.partition, each.committed, each.end, each.lag) for each in parts] == [(0, 3, 10, 7), (1, 4, 4, 0)]
    assert log.asked == [{TopicPartition(EVENTS, 0): 3}], "of what is processed no time is asked for"


def test_lag_figures_have_each_partition_and_the_age() -> None:
    lag, committed, end, age = lag_figures(status(part(0, committed=1, end=4, age=7.5), part(0, processor="leases", committed=4, end=4)))
    assert samples(lag) == {("history", "t", "0"): 3, ("leases", "t", "0"): 0}
    assert samples(committed) == {("history", "t", "0"): 1, ("leases", "t", "0"): 4}
    assert samples(end) == {("t", "0"): 4}, "a partition ends where it does, for whoever reads it"
    assert samples(age) == {("history", "t"): 7.5, ("leases", "t"): 0.0}


def test_notice_figures_say_what_is_not_accounted_for() -> None:
    balance = NoticeBalance(decided=9, missing=2, undecided=1, difference=3, oldest_pending_time=NOW - timedelta(seconds=90))
    told = ServerStatus(version="1", log="l", history="h", partitions=[], notices={"accepted": 4, "digested": 1}, balance=balance)
    found = {metric.name: samples(metric) for metric in notice_figures(told, NOW)}
    assert found["runherald_notices"] == {("accepted",): 4, ("digested",): 1, ("pending",): 0, ("refused",): 0, ("suppressed",): 0}
    assert found["runherald_notices_unaccounted"] == {("missing",): 2, ("undecided",): 1}
    assert found["runherald_notices_decided"] == {(): 9}
    assert found["runherald_notices_oldest_pending_age_seconds"] == {(): 90.0}


def test_a_processor_that_does_not_run_is_down() -> None:
    health = [ProcessorHealth("a", "running"), ProcessorHealth("b", "restarting"), ProcessorHealth("c", "failed")]
    assert samples(processor_up(health)) == {("a",): 1, ("b",): 0, ("c",): 0}


def test_a_call_that_hangs_is_given_up_and_not_made_twice() -> None:
    go, calls = threading.Event(), []

    def hang() -> str:
        calls.append(threading.get_ident())
        assert go.wait(20)
        return "back"

    bounded = Bounded("history", hang, 0.05)
    for _ in range(2):
        with pytest.raises(Unreachable, match=r"history: no answer within 0\.05 s"):
            bounded()
    assert len(calls) == 1
    go.set()
    assert _patient(bounded) == "back"
    bounded.close()
    assert len(set(calls)) == 1


def test_what_a_bounded_call_raises_is_raised_and_the_next_call_is_made_anew() -> None:
    answers: list[RunheraldError | None] = [Unreachable("away"), None]

    def ask() -> int:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return 7

    bounded = Bounded("log", ask, 10.0)
    with pytest.raises(Unreachable, match="away"):
        bounded()
    assert bounded() == 7
    bounded.close()


def _patient(bounded: Bounded[str]) -> str:
    for _ in range(100):
        try:
            return bounded()
        except Unreachable:
            continue
    raise AssertionError("it never came back")


class _Log(EmbeddedLog):
    """A log whose offsets are told."""

    def __init__(self, *, begins: Mapping[int, int], ends: Mapping[int, int], committed: Mapping[int, int]) -> None:
        self._begins, self._ends, self._known = begins, ends, committed
        self.asked: list[Mapping[TopicPartition, int]] = []

    def begin_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        return {TopicPartition(topic, number): offset for topic in topics for number, offset in self._begins.items()}

    def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        return {TopicPartition(topic, number): offset for topic in topics for number, offset in self._ends.items()}

    def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        assert group == "runherald.history"
        return {TopicPartition(topic, number): offset for topic in topics for number, offset in self._known.items()}

    def times(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
        self.asked.append(positions)
        return dict.fromkeys(positions, NOW)
