"""When a worker is stuck, and when it only has nothing to do or much."""

from __future__ import annotations

from runherald.records import TopicPartition
from runherald.streams.watchdog import Patience, Watchdog

AT = TopicPartition("t", 0)
PATIENCE = Patience(idle=60.0, call=600.0)


def test_one_that_stands_still_before_records_is_stuck() -> None:
    watchdog = Watchdog(PATIENCE)
    assert watchdog.look(0, {AT: 5}, {AT: 9}, None) is None
    assert watchdog.look(59, {AT: 5}, {AT: 9}, None) is None
    assert watchdog.look(60, {AT: 5}, {AT: 9}, None) == "t/0 stands 4 records behind and has not moved for 60 s"


def test_one_that_moves_is_not_however_slowly() -> None:
    watchdog = Watchdog(PATIENCE)
    assert [watchdog.look(now, {AT: now}, {AT: 10_000}, None) for now in range(0, 600, 50)] == [None] * 12


def test_one_that_has_read_all_is_not() -> None:
    watchdog = Watchdog(PATIENCE)
    assert [watchdog.look(now, {AT: 9}, {AT: 9}, None) for now in range(0, 600, 50)] == [None] * 12
    # The time before there was anything to read does not count.
    assert watchdog.look(650, {AT: 9}, {AT: 10}, None) is None


def test_one_without_partitions_is_not() -> None:
    watchdog = Watchdog(PATIENCE)
    assert watchdog.look(0, {}, {AT: 9}, None) is None
    assert watchdog.look(500, {}, {AT: 9}, None) is None


def test_a_call_may_take_long_but_not_for_ever() -> None:
    watchdog = Watchdog(PATIENCE)
    assert watchdog.look(0, {AT: 5}, {AT: 9}, 0) is None
    assert watchdog.look(599, {AT: 5}, {AT: 9}, 0) is None
    assert watchdog.look(600, {AT: 5}, {AT: 9}, 0) == "the processor has not returned for 600 s"


def test_after_a_long_call_the_wait_begins_anew() -> None:
    watchdog = Watchdog(PATIENCE)
    watchdog.look(0, {AT: 5}, {AT: 9}, 0)
    watchdog.look(500, {AT: 5}, {AT: 9}, 0)
    assert watchdog.look(505, {AT: 5}, {AT: 9}, None) is None
    assert watchdog.look(564, {AT: 5}, {AT: 9}, None) is None
    assert watchdog.look(565, {AT: 5}, {AT: 9}, None) is not None
