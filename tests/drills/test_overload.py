"""The short form of the overload drill, and how it judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from runherald.deploy.local_kafka import KafkaUnavailable
from tests.drills.overload import Fills, above_bounds, no_overload, overload, wrongs
from tests.drills.overloaded import FED, Overloaded, OverloadedServer, OverloadedWorker, Standing
from tests.drills.resident import Sample, Track
from tests.fixtures.parts import missing
from tests.server_process import free_port

WARMING = 150.0
"""MiB. So short a time is too short to tell growth from warming up; what shows here are the bounds, and that it goes on."""


@pytest.mark.parametrize("kind", [OverloadedServer, pytest.param(OverloadedWorker, marks=pytest.mark.kafka)])
@pytest.mark.timeout(180)
def test_under_more_than_is_stored_every_queue_keeps_its_bound_and_work_goes_on(kind: type[Overloaded], tmp_path: Path) -> None:
    try:
        with kind(tmp_path, (free_port(), free_port())) as world:
            findings = overload(world, seconds=10.0, delay=0.3, scale=3.0, lead=10.0)
            ours = world.ours()
    except KafkaUnavailable as error:
        missing(f"no Kafka: {error}")
        return
    assert wrongs(findings, ours=ours, floor=WARMING, briefly=True) == []


def track(*resident: float) -> Track:
    return Track("server", [Sample(float(second), each) for second, each in enumerate(resident)])


def saw(second: int) -> float:
    """What a process holds that fills up and stores, again and again."""
    return 200.0 + 40 * (second % 20) / 20


def test_memory_that_comes_and_goes_is_flat_and_memory_that_only_comes_is_not() -> None:
    assert not track(*(saw(second) for second in range(240))).grows(16)
    assert track(*(saw(second) + 0.2 * second for second in range(240))).grows(16)
    assert track(*(100 + 0.2 * second for second in range(240))).per_minute == pytest.approx(12)


def test_what_comes_while_it_warms_up_does_not_count() -> None:
    assert not track(*(min(300.0, 100.0 + second) for second in range(480))).grows(16)


def full(figure: float, kind: str = "items") -> Fills:
    known: Fills = {(name, "taken", "items"): 0.0 for name in FED} | {(name, "taken", "items_limit"): 20.0 for name in FED}
    return known | {("logs", "arrivals", kind): figure, ("logs", "arrivals", f"{kind}_limit"): 10.0}


def test_a_queue_above_its_bound_is_named() -> None:
    assert above_bounds(full(10)) == []
    assert above_bounds(full(11)) == ["logs: arrivals held 11 items of 10"]
    assert above_bounds(full(1_000_000, "bytes")) == [], "the record that reaches the bound of bytes may be above it"
    assert above_bounds(full(1_100_000, "bytes")) == ["logs: arrivals held 1100000 bytes of 10"]


def test_queues_that_nothing_is_known_of_are_not_taken_for_empty_ones() -> None:
    assert "metrics: nothing is known of its queues" in above_bounds({})


def test_a_processor_that_kept_up_or_stood_still_shows_nothing() -> None:
    good = dict.fromkeys(FED, Standing(100, 50))
    assert no_overload(good, dict.fromkeys(FED, Standing(200, 60))) == []
    assert no_overload(good, {**dict.fromkeys(FED, Standing(200, 60)), "logs": Standing(100, 90)}) == ["logs: it stored nothing"]
    caught_up = {**dict.fromkeys(FED, Standing(200, 60)), "logs": Standing(300, 40)}
    assert no_overload(good, caught_up) == ["logs: it was no overload, its lag went from 50 to 40"]
    assert no_overload(good, caught_up, briefly=True) == []
    idle = {**caught_up, "logs": Standing(300, 0)}
    assert no_overload(good, idle, briefly=True) == ["logs: it was no overload, its lag went from 50 to 0"]
