"""Stops and counts of dead letters, as status and metrics tell them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runherald.api import PartitionStatus, ServerStatus
from runherald.letters_api import LetterCount, ProcessorStop
from runherald.studio.letter_figures import MOST_REASONS, letter_figures
from runherald.studio.server_status import standing

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def stop(*, allowed: bool = False) -> ProcessorStop:
    return ProcessorStop(processor="history", reason="500 records", topic="t", partition=1, offset=7, time=NOW, allowed=allowed)


def part(committed: int, *, partition: int = 1, processor: str = "history") -> PartitionStatus:
    return PartitionStatus(processor=processor, topic="t", partition=partition, committed=committed, end=9, lag=9 - committed)


@pytest.mark.parametrize(
    ("partitions", "stands"),
    [
        ([part(7)], True),
        ([part(8)], False),
        ([part(0), part(9, partition=2), part(9, processor="leases")], True),
        ([], True),
    ],
)
def test_a_stop_stands_until_its_processor_has_passed_the_record(partitions: list[PartitionStatus], stands: bool) -> None:
    assert bool(standing([stop()], partitions)) == stands


def test_a_stop_says_what_to_do() -> None:
    assert "runherald dead-letters go-on history" in standing([stop()], [])[0].remedy
    assert standing([stop(allowed=True)], [])[0].remedy == "start history again"


def test_reasons_beyond_the_most_frequent_share_one_series() -> None:
    counts = [LetterCount(processor="history", error=f"e{number}", open=number, replayed=1) for number in range(MOST_REASONS + 5)]
    status = ServerStatus(version="1", log="l", history="h", partitions=[], letters=counts, stops=[stop()])
    by_state, ever, stopped = letter_figures(status)
    reasons = {sample.labels["reason"] for sample in by_state.samples}
    assert len(reasons) == MOST_REASONS + 1
    assert "e0" not in reasons
    others = {sample.labels["state"]: sample.value for sample in by_state.samples if sample.labels["reason"] == "other"}
    assert others == {"open": 0 + 1 + 2 + 3 + 4, "replayed": 5, "failed_again": 0}
    assert sum(sample.value for sample in ever.samples) == sum(count.open + count.replayed for count in counts)
    assert [(sample.labels, sample.value) for sample in stopped.samples] == [({"processor": "history"}, 1)]
