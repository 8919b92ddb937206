"""What a rebuild reads from where, by the offsets alone."""

from __future__ import annotations

import pytest

from runherald.records import TopicPartition
from runherald.sinks.errors import LogReplaced
from runherald.streams.rebuild.plan import Part, plan, words_of

AT = TopicPartition("runherald.events", 2)


def planned(begin: int, end: int, stored: int) -> Part:
    (part,) = plan("history", {AT: begin}, {AT: end}, {AT: stored}, older="run_events")
    return part


@pytest.mark.parametrize(
    ("begin", "end", "stored", "older", "log_from", "until", "lost"),
    [
        (0, 0, -1, "none", 0, 0, 0),  # nothing yet
        (0, 10, 9, "none", 0, 10, 0),  # all of it
        (0, 10, 4, "none", 0, 5, 0),  # what is beyond is the live processor's
        (3, 10, 9, "run_events", 3, 10, 0),  # the log has dropped the beginning
        (10, 10, 9, "run_events", 10, 10, 0),  # and all of it
        (7, 10, 4, "run_events", 5, 5, 2),  # and more than was processed
        (7, 10, -1, "none", 0, 0, 7),  # before anything was
    ],
)
def test_a_partition_is_read_from_where_it_is_to_where_its_processor_is(
    begin: int, end: int, stored: int, older: str, log_from: int, until: int, lost: int
) -> None:
    part = planned(begin, end, stored)

    assert (part.older, part.log_from, part.until, part.lost) == (older, log_from, until, lost)
    assert part.from_log == until - log_from


def test_a_log_that_ends_before_what_is_stored_is_refused_with_what_to_do() -> None:
    with pytest.raises(LogReplaced, match=r"history: .*runherald\.events/2 up to offset 9, .* ends before 9.*rebuild --new-log"):
        planned(0, 9, 9)


def test_the_sources_are_said_for_what_is_there() -> None:
    assert words_of("history", [planned(0, 0, -1)]) == []
    assert words_of("history", [planned(3, 10, 7)]) == [
        "history: runherald.events/2: run_events below offset 3, which the log no longer holds; the log from 3 to 7; "
        "2 records beyond not processed yet"
    ]
    (line,) = words_of("history", [planned(7, 10, 4)])
    assert "3 records beyond not processed yet" in line
    assert "2 records dropped by the log before they were processed" in line
