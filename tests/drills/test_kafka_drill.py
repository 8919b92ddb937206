"""The short form of the drill of a whole installation: every kind of fault once, and the books balance."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from runherald.deploy.local_kafka import KafkaUnavailable
from tests.drills.drill import run_drill
from tests.drills.kafka_world import KafkaWorld
from tests.drills.schedule import schedule
from tests.fixtures.parts import missing
from tests.server_process import free_port

pytestmark = pytest.mark.kafka


@pytest.mark.timeout(600)
def test_the_books_of_an_installation_balance_after_every_kind_of_fault(tmp_path: Path) -> None:
    with ExitStack() as stack:
        try:
            world = stack.enter_context(KafkaWorld(tmp_path, (free_port(), free_port()), count=4, rate=60.0, seed=1))
        except KafkaUnavailable as error:
            missing(f"no Kafka: {error}")
            return
        faults = schedule(1, 2.0 * (len(world.kinds) + 1), world.kinds, every=2.0, longest=2.0)
        books = run_drill(world, faults, say=print, bound=180.0).books
    assert books.calls > 2_000, "hardly anything was logged"
    assert books.lost == []
    assert books.doubled == []
    assert books.wrong == []
