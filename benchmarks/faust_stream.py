"""Records from Kafka to history with one Faust worker, on a Kafka and a ClickHouse of this machine.

Without a `clickhouse` binary on PATH history is the gateway over chDB, which is not a ClickHouse server: it shares the two cores, goes
through Python, and says nothing about what a server would do.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from embedded_stream import RULES, RUNS, insert_rate
from feed import POINTS_OF_MESSAGE, append, metric_records, progress, rules_text, status_records, work_off
from figure import Figure, of_rounds

from runherald.deploy.child import start_child
from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.deploy.local_kafka import LocalKafka
from runherald.errors import Unreachable
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import bootstrap_servers
from runherald.streams.topic_admin import create_topics
from runherald.topics import EVENTS, METRICS, STATUS

MESSAGES = 2_000
ROUNDS = 3


def points() -> list[Figure]:
    """Measure metric points, appended beforehand and worked off by a fresh worker process, in some rounds; and two limits."""
    rates, raw, limit = [], [], []
    with _cluster() as cluster:
        for _ in range(ROUNDS):
            count = append(cluster.log, metric_records(MESSAGES))
            rates.append(cluster.rate("metrics", METRICS, count, {}) * POINTS_OF_MESSAGE)
            raw.append(asyncio.run(_read(cluster.servers, METRICS, count)) * POINTS_OF_MESSAGE)
            limit.append(insert_rate(cluster.history, MESSAGES * POINTS_OF_MESSAGE))
    return [
        of_rounds("metric points, one Faust worker", rates, "/s", 2e6, more_is_better=True, note=cluster.engine),
        of_rounds("the same topic read only", raw, "/s", more_is_better=True, note="aiokafka getmany, values thrown away"),
        of_rounds("as prepared columns over HTTP", limit, "/s", more_is_better=True, note=f"clickhouse-connect to {cluster.engine}"),
    ]


def events() -> list[Figure]:
    """Measure status events through history and alerting, in the same way."""
    rates = []
    with _cluster() as cluster:
        for _ in range(ROUNDS):
            count = append(cluster.log, status_records(RUNS))
            rates.append(cluster.rate("history", EVENTS, count, {"alerting": STATUS}))
    name = "status events, history and 1,000 rules, one Faust worker"
    return [of_rounds(name, rates, "/s", 8e3, more_is_better=True, note=cluster.engine)]


class _Cluster:
    """A Kafka, a history, and what connects to them."""

    def __init__(self, folder: Path, kafka: LocalKafka, clickhouse: LocalClickHouse) -> None:
        self.servers = bootstrap_servers(kafka.url)
        self.engine = "the gateway over chDB, not a ClickHouse server" if clickhouse.gateway else "a ClickHouse server"
        self._output = folder / "worker.log"
        rules = folder / "rules.yaml"
        rules.write_text(rules_text(RULES))
        self._connections = ["--log", kafka.url, "--history", clickhouse.url, "--rules", str(rules)]
        create_topics(kafka.url)
        self.history = HistoryDatabase.open(clickhouse.url)
        migrate(self.history)
        self.log = KafkaLog(self.servers)
        _await_groups(self.log)

    def rate(self, name: str, topic: str, count: int, then: Mapping[str, str]) -> float:
        """Return how many records a second a fresh worker takes in, from its first commit to its last."""
        wanted = progress(self.log, name, topic) + count
        command = [sys.executable, "-m", "runherald", "worker", "--processors", ",".join((name, *then)), *self._connections]
        worker = start_child(command, self._output)
        try:
            return work_off(self.log, (name, topic), wanted, then=then, pause=0.02, bound=40.0, warm=True)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the worker said: {self._output.read_text()[-500:]}") from None
        finally:
            worker.stop()

    def close(self) -> None:
        """Close the connections."""
        self.log.close()
        self.history.close()


@contextmanager
def _cluster() -> Iterator[_Cluster]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            LocalKafka(folder / "kafka") as kafka,
            LocalClickHouse(folder / "clickhouse") as clickhouse,
            closing(_Cluster(folder, kafka, clickhouse)) as cluster,
        ):
            yield cluster


def _await_groups(log: KafkaLog, bound: float = 30.0) -> None:
    """Wait until the broker has made the topic of its groups' offsets, which it begins when it is first asked."""
    deadline = time.monotonic() + bound
    while True:
        try:
            log.committed("runherald.metrics", [METRICS])
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


async def _read(servers: list[str], topic: str, count: int) -> float:
    """Return how many records a bare consumer reads each second, from its first batch on."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=",".join(servers), auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        seen = sum(len(batch) for batch in (await consumer.getmany(timeout_ms=10_000)).values())
        begun, first = time.perf_counter(), seen
        while seen < count:
            batches = await consumer.getmany(timeout_ms=10_000)
            if not batches:
                raise TimeoutError(f"{topic}: {seen} of {count} records were read")
            seen += sum(len(batch) for batch in batches.values())
        return (seen - first) / (time.perf_counter() - begun)
    finally:
        await consumer.stop()
