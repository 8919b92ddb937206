"""The schema grows, and workers and server are replaced one after the other, under load: nothing is lost, nothing comes twice."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from runherald.deploy.local_kafka import KafkaUnavailable
from runherald.sinks import migrate as schema
from runherald.sinks.migrate import Migration
from tests.drills.rolling import Rolling
from tests.fixtures.parts import missing
from tests.migration_rules import breaks
from tests.server_process import free_port

pytestmark = pytest.mark.kafka

NEXT = Migration(
    "9001_next",
    (
        "CREATE TABLE IF NOT EXISTS $database.ends $on_cluster (workspace String, run_id String, status String, version UInt64)"
        " ENGINE = ${replicated}ReplacingMergeTree(version) ORDER BY (workspace, run_id)",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS $database.ends_feed $on_cluster TO $database.ends AS"
        " SELECT workspace, run_id, status, version FROM $database.run_state",
        "INSERT INTO $database.ends (workspace, run_id, status, version)\n"
        "SELECT workspace, run_id, status, version FROM $database.run_state",
        "ALTER TABLE $database.run_tags $on_cluster ADD COLUMN IF NOT EXISTS origin LowCardinality(String) DEFAULT 'run'",
    ),
    "digest",
)
"""A migration of a version to come: all that is running does not know it."""
RESTARTS = 3
STANDSTILL_SECONDS = 60.0
"""How old an event may become at most before it is processed; measured: see docs/upgrades.md."""


@pytest.mark.timeout(600)
def test_a_rolling_restart_under_load_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(breaks(NEXT)) == []
    rolling = Rolling(tmp_path, (free_port(), free_port()), workers=2, producers=4, rate=80.0)
    with ExitStack() as stack:
        try:
            stack.enter_context(rolling.running())
        except KafkaUnavailable as error:
            missing(f"no Kafka: {error}")
            return
        released = schema.migrations()
        monkeypatch.setattr(schema, "migrations", lambda: [*released, NEXT])
        with rolling.watched():
            rolling.migrate()
            rolling.replace_worker(0, new_first=True)
            rolling.replace_worker(1, new_first=False)
            rolling.replace_server()
        books = rolling.books(bound=90.0)

    for step, seconds in rolling.steps:
        print(f"{step}: {seconds:.1f} s")
    print("oldest unprocessed event: " + ", ".join(f"{name} {age:.1f} s" for name, age in sorted(rolling.oldest.items())))
    print(f"{books.calls} calls, {books.points} points, {books.mails} mails, {books.again} rows came again, notices {books.notices}")
    assert books.calls > 500, "hardly anything was logged"
    assert books.mails > 5, "hardly anybody was told"
    assert books.lost == []
    assert books.doubled == []
    assert books.wrong == []
    assert books.mails_again == 0
    assert rolling.oldest["history"] > 0, "nothing was looked at"
    assert max(rolling.oldest.values()) < STANDSTILL_SECONDS


@pytest.mark.timeout(300)
def test_an_embedded_server_restarted_again_and_again_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    # In a process of its own: the embedded engine opens one folder a process. Each of these stops must end with status 0.
    options = ["--seed", "1", "--faults", "server-term", "--minutes", "0.1", "--every", "1.5", "--rate", "100", "--keep", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "tests.drills.drill", *options], capture_output=True, text=True, timeout=280, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    *_, struck, figures = done.stdout.splitlines()
    found = re.fullmatch(r"struck: (\d+) server-term", struck)
    assert found
    assert int(found[1]) >= RESTARTS
    assert "0 lost, 0 doubled, 0 wrong; 0 rows came again" in figures
    assert re.search(r" [1-9]\d* mails, 0 again$", figures)
