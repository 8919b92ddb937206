"""What holds for every transport, HTTP and Kafka; then what only HTTP can meet."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec import Struct

from runherald.api import ApiError, ApiErrorAnswer, Intake, Rejected
from runherald.clock import from_micros
from runherald.deploy.local_kafka import LocalKafka
from runherald.errors import InvalidEvent, InvalidInput, RunheraldError, Unreachable
from runherald.events import AmlRunEvent, AmlRunMetricEvent, Data, Event, new_event
from runherald.producers.errors import Unauthorized
from runherald.producers.shipping.http_transport import HttpTransport
from runherald.producers.shipping.kafka_transport import KafkaTransport, parse_servers
from runherald.producers.shipping.transport import Transport
from runherald.records import Position, Record
from runherald.streams.topic_admin import create_topics
from runherald.topics import TOPICS
from runherald.validation import check_event
from runherald.wire import CONTENT_TYPE, decode_cloud_event, from_record, split_batch
from tests.fixtures.parts import missing

Answer = tuple[int, bytes]


def event(run_id: str, sequence: int, data: Data | None = None) -> Event:
    return new_event(
        data or AmlRunEvent(operation="Updated", display_name=f"n{sequence}"),
        workspace="default",
        run_id=run_id,
        producer="p",
        sequence=sequence,
        time=from_micros(1_790_000_000_000_000 + sequence),
    )


def metric(run_id: str, sequence: int) -> Event:
    return event(run_id, sequence, AmlRunMetricEvent(names=("loss",), series=[0], steps=[0], times=[1], values=[0.5]))


class LoopbackServer:
    """A real HTTP server that keeps the events it accepts, or answers as its script says (`drop` closes the connection)."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sizes: list[int] = []
        self.connections = 0
        self.headers: list[dict[str, str]] = []
        self.script: list[Answer | str] = []
        self.limit = 10**9
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def do_POST(self) -> None:
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                body = self.rfile.read(int(self.headers["Content-Length"]))
                step = server.script.pop(0) if server.script else server.accept(body)
                if isinstance(step, str):
                    self.close_connection = True
                    return
                status, content = step
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                if "drop after" in server.script[:1]:
                    server.script.pop(0)
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def accept(self, body: bytes) -> Answer:
        if len(body) > self.limit:
            return refusal(413, "too large")
        self.sizes.append(len(body))
        rejected, positions = [], []
        for index, member in enumerate(split_batch(body)):
            try:
                taken = decode_cloud_event(member)
                check_event(taken)
            except InvalidEvent as error:
                rejected.append(Rejected(index=index, field=error.field, reason=error.reason))
                continue
            self.events.append(taken)
            positions.append(Position("runherald.events", 0, len(self.events) - 1))
        return 200, msgspec.json.encode(Intake(accepted=len(positions), rejected=rejected, positions=positions[-1:]))

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def refusal(status: int, message: str) -> Answer:
    return status, msgspec.json.encode(ApiErrorAnswer(ApiError(code="Test", message=message)))


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    loopback = LoopbackServer()
    yield loopback
    loopback.close()


@pytest.fixture
def http(server: LoopbackServer) -> Iterator[HttpTransport]:
    transport = HttpTransport(server.url, "secret-token", timeout_seconds=5.0)
    yield transport
    transport.close()


class TransportCase(Struct, frozen=True):
    """A transport, a way to see what arrived of a run, and a second transport to where nobody listens."""

    transport: Transport
    arrived: Callable[[str], list[Event]]
    nowhere: Transport


@pytest.fixture(params=["http", pytest.param("kafka", marks=pytest.mark.kafka)])
def case(request: pytest.FixtureRequest, free_port: int) -> Iterator[TransportCase]:
    if request.param == "http":
        server: LoopbackServer = request.getfixturevalue("server")
        found = TransportCase(
            transport=request.getfixturevalue("http"),
            arrived=lambda run_id: [one for one in server.events if one.run_id == run_id],
            nowhere=HttpTransport(f"http://127.0.0.1:{free_port}", timeout_seconds=2.0),
        )
    else:
        broker: LocalKafka = request.getfixturevalue("kafka")
        create_topics(broker.url, topics=list(TOPICS.values()))
        found = TransportCase(
            transport=KafkaTransport(broker.url, timeout_seconds=20.0),
            arrived=lambda run_id: read_kafka(broker, run_id),
            nowhere=KafkaTransport(f"kafka://127.0.0.1:{free_port}", timeout_seconds=2.0),
        )
    yield found
    found.transport.close()
    found.nowhere.close()


def read_kafka(broker: LocalKafka, run_id: str) -> list[Event]:
    from kafka import KafkaConsumer, TopicPartition  # type: ignore[import-untyped]

    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic in ("runherald.events", "runherald.metrics")
            for partition in range(TOPICS[topic].partitions)
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning()
        found: list[Event] = []
        while any((consumer.position(partition) or 0) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                found += [record_event(record) for record in records if record.key == run_id.encode()]
        return found
    finally:
        consumer.close()


def record_event(record: Any) -> Event:
    return from_record(
        Record(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple((name, bytes(value)) for name, value in record.headers),
        )
    )


def test_events_arrive_whole_and_in_order(case: TransportCase) -> None:
    run_id = uuid4().hex
    events = [event(run_id, sequence) for sequence in range(20)]
    sent = case.transport.send(events[:12])
    case.transport.send(events[12:])
    assert sent.rejected == []
    assert case.arrived(run_id) == events


def test_the_last_positions_are_told(case: TransportCase) -> None:
    run_id = uuid4().hex
    first = case.transport.send([event(run_id, 0), event(run_id, 1)]).positions
    second = case.transport.send([event(run_id, 2)]).positions
    assert len(first) == len(second) == 1
    assert (first[0].topic, first[0].partition) == (second[0].topic, second[0].partition)
    assert second[0].offset == first[0].offset + 1


def test_events_of_several_kinds_and_runs_go_together(case: TransportCase) -> None:
    one, other = uuid4().hex, uuid4().hex
    case.transport.send([event(one, 0), metric(one, 1), event(other, 0)])
    assert sorted(found.type for found in case.arrived(one)) == ["AmlRunEvent", "AmlRunMetricEvent"]
    assert case.arrived(other) == [event(other, 0)]


def test_an_event_too_large_is_refused_and_the_others_arrive(case: TransportCase, request: pytest.FixtureRequest) -> None:
    if "server" in request.fixturenames or isinstance(case.transport, HttpTransport):
        request.getfixturevalue("server").limit = 100_000
    run_id = uuid4().hex
    large = event(run_id, 1, AmlRunEvent(operation="Updated", tags={f"k{index}": "x" * 25_000 for index in range(50)}))
    sent = case.transport.send([event(run_id, 0), large, event(run_id, 2)])
    assert [(rejected.index, bool(rejected.reason)) for rejected in sent.rejected] == [(1, True)]
    assert [found.sequence for found in case.arrived(run_id)] == [0, 2]


def test_where_nobody_listens_it_says_so_soon(case: TransportCase) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1.*does not answer"):
        case.nowhere.send([event("run-1", 0)])


@pytest.mark.kafka
def test_missing_topics_are_named_and_made_up_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    broker = LocalKafka(tmp_path_factory.mktemp("kafka-without-topics"))
    try:
        broker.start()
    except Exception as error:
        missing(f"no Kafka: {error}")
    transport = KafkaTransport(broker.url, timeout_seconds=3.0)
    try:
        with pytest.raises(Unreachable, match="runherald topics"):
            transport.send([event("run-1", 0)])
        create_topics(broker.url, topics=list(TOPICS.values()))
        assert len(transport.send([event("run-1", 0)]).positions) == 1
    finally:
        transport.close()
        broker.stop()


@pytest.mark.parametrize(
    ("log", "servers"),
    [
        ("kafka://a:1,b:2", [("a", 1), ("b", 2)]),
        ("kafka://a", [("a", 9092)]),
        ("kafka://[::1]:9", [("::1", 9)]),
    ],
)
def test_addresses_of_kafka(log: str, servers: list[tuple[str, int]]) -> None:
    assert parse_servers(log) == servers


@pytest.mark.parametrize("log", ["kafka://", "kafka://a:b", "kafka://:9", "kafka://a:70000", "http://a:1"])
def test_malformed_addresses_of_kafka_are_told(log: str) -> None:
    with pytest.raises(InvalidInput, match="RUNHERALD_LOG"):
        KafkaTransport(log)


def test_one_connection_is_kept(server: LoopbackServer, http: HttpTransport) -> None:
    for sequence in range(5):
        http.send([event("run-1", sequence)])
    assert server.connections == 1
    assert server.headers[0]["authorization"] == "Bearer secret-token"
    assert server.headers[0]["content-type"] == CONTENT_TYPE


def test_a_kept_connection_that_was_dropped_is_opened_again(server: LoopbackServer, http: HttpTransport) -> None:
    http.send([event("run-1", 0)])
    server.script = ["drop"]
    http.send([event("run-1", 1)])
    assert [found.sequence for found in server.events] == [0, 1]
    assert server.connections == 2


def test_a_server_that_drops_every_connection_is_unreachable(server: LoopbackServer, http: HttpTransport) -> None:
    server.script = ["drop", "drop", "drop"]
    with pytest.raises(Unreachable):
        http.send([event("run-1", 0)])


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_tried_again(server: LoopbackServer, http: HttpTransport, status: int) -> None:
    server.script = [refusal(status, "not now")]
    with pytest.raises(Unreachable, match="not now"):
        http.send([event("run-1", 0)])
    http.send([event("run-1", 0)])
    assert len(server.events) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_named_and_not_shown(server: LoopbackServer, http: HttpTransport, status: int) -> None:
    server.script = [refusal(status, "who are you")]
    with pytest.raises(Unauthorized, match="RUNHERALD_TOKEN") as caught:
        http.send([event("run-1", 0)])
    assert "secret-token" not in str(caught.value)


def test_a_batch_too_large_for_the_server_is_halved(server: LoopbackServer, http: HttpTransport) -> None:
    server.limit = 2_000
    events = [event("run-1", sequence) for sequence in range(40)]
    assert http.send(events).rejected == []
    assert server.events == events
    assert max(server.sizes) <= 2_000


def test_a_batch_is_no_larger_than_was_said(server: LoopbackServer) -> None:
    transport = HttpTransport(server.url, max_body=3_000)
    events = [event("run-1", sequence) for sequence in range(40)]
    transport.send(events)
    transport.close()
    assert server.events == events
    assert max(server.sizes) <= 3_000
    assert "authorization" not in server.headers[0]


def test_refused_members_are_named_by_their_place(server: LoopbackServer, http: HttpTransport) -> None:
    server.limit = 3_000
    bad = {3, 17, 30}
    events = [
        event("run-1", sequence, AmlRunEvent(operation="Updated", tags={"k": "x" * 1_001}) if sequence in bad else None)
        for sequence in range(31)
    ]
    sent = http.send(events)
    assert {rejected.index for rejected in sent.rejected} == bad
    assert len(server.events) == 28


def test_a_batch_refused_as_a_whole_is_halved_down_to_the_bad_event(server: LoopbackServer, http: HttpTransport) -> None:
    server.script = [refusal(400, "bad"), refusal(400, "bad")]
    sent = http.send([event("run-1", 0), event("run-1", 1)])
    assert [(rejected.index, rejected.reason) for rejected in sent.rejected] == [(0, "bad")]
    assert [found.sequence for found in server.events] == [1]


@pytest.mark.parametrize("answer", [(400, b"<html>"), (404, b"nope"), (200, b"<html>welcome"), (302, b"")])
def test_something_else_than_a_runherald_server_refuses_nothing(server: LoopbackServer, http: HttpTransport, answer: Answer) -> None:
    server.script = [answer]
    with pytest.raises(RunheraldError, match=r"RUNHERALD_URL|runherald server|without a reason"):
        http.send([event("run-1", 0)])


def test_a_server_that_says_nothing_is_given_up(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = HttpTransport(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.3)
        with pytest.raises(Unreachable, match="took too long"):
            transport.send([event("run-1", 0)])
        transport.close()


@pytest.mark.parametrize("url", ["", "localhost:7460", "ftp://h:1", "http://", "http://h:99999", "http://h:x"])
def test_malformed_urls_are_told(url: str) -> None:
    with pytest.raises(InvalidInput, match="RUNHERALD_URL"):
        HttpTransport(url)


def test_requests_to_cancel_are_told(server: LoopbackServer, http: HttpTransport) -> None:
    server.script = [(200, json.dumps({"accepted": 1, "cancel_requested": ["run-1"]}).encode())]
    assert http.send([event("run-1", 0)]).cancel_requested == ["run-1"]
