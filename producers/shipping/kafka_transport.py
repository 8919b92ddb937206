"""Sends events straight to Kafka, with kafka-python, which is imported when the first transport is made."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runherald.api import Rejected, latest
from runherald.errors import InvalidInput, RunheraldError, Unreachable
from runherald.events import Event
from runherald.producers.shipping.transport import Sent
from runherald.records import Outgoing, Position
from runherald.wire import to_outgoing

if TYPE_CHECKING:
    from kafka import KafkaProducer  # type: ignore[import-untyped]

SCHEME = "kafka://"
_PROBE_SECONDS = 3.0


class KafkaTransport:
    """Writes each event to the topic of its type, keyed by its run, and waits for all in-sync replicas.

    The producer is idempotent, and is thrown away after any fault: the next one has a fresh identity with the broker, and what is sent
    again is recognised by its event's id.

    Args:
        log: `kafka://host:port,host:port`.
        timeout_seconds: how long a batch may take.

    Raises:
        InvalidInput: the address is malformed.
    """

    def __init__(self, log: str, *, timeout_seconds: float = 30.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        import kafka  # noqa: F401  # not by the thread that sends: another may fork meanwhile

        self._servers = parse_servers(log)
        self._timeout = timeout_seconds
        self._monotonic = monotonic
        self._producer: KafkaProducer | None = None

    def send(self, events: Sequence[Event]) -> Sent:
        """Write the events; see `Transport.send`."""
        from kafka.errors import (  # type: ignore[import-untyped]
            KafkaError,
            MessageSizeTooLargeError,
            RecordListTooLargeError,
        )

        positions: list[Position] = []
        rejected: list[Rejected] = []
        deadline = self._monotonic() + self._timeout
        try:
            producer = self._connected()
            futures: list[tuple[int, Any]] = []
            for index, event in enumerate(events):
                try:
                    futures.append((index, _write(producer, to_outgoing(event))))
                except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
                    rejected.append(_rejected(index, event, error))
            producer.flush(timeout=self._timeout)
            for index, future in futures:
                try:
                    metadata = future.get(timeout=max(deadline - self._monotonic(), 0.1))
                except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
                    rejected.append(_rejected(index, events[index], error))
                    continue
                positions.append(Position(metadata.topic, metadata.partition, metadata.offset))
        except KafkaError as error:
            self._discard()
            raise self._fault(error) from error
        return Sent(positions=latest(positions), rejected=rejected)

    def close(self) -> None:
        """Let go of the producer."""
        self._discard()

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            self._probe()
            from kafka import KafkaProducer

            self._producer = KafkaProducer(**self._config())
        return self._producer

    def _config(self) -> dict[str, Any]:
        milliseconds = int(min(self._timeout / 2, 10.0) * 1000)
        return {
            "bootstrap_servers": [f"{host}:{port}" for host, port in self._servers],
            "client_id": "runherald-sdk",
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": "lz4" if find_spec("lz4") else None,
            "linger_ms": 20,
            "batch_size": 256 * 1024,
            "max_request_size": 1_048_576,  # of the topics as well
            "allow_auto_create_topics": False,
            "bootstrap_timeout_ms": milliseconds,
            "max_block_ms": milliseconds,
            "request_timeout_ms": milliseconds,
            "delivery_timeout_ms": int(self._timeout * 1000),  # above linger and request together
            "metrics_enabled": False,
        }

    def _probe(self) -> None:
        """See whether any broker listens before a producer is made: one that cannot connect leaves its thread behind."""
        last: OSError | None = None
        for address in self._servers:
            try:
                socket.create_connection(address, timeout=min(_PROBE_SECONDS, self._timeout)).close()
            except OSError as error:
                last = error
            else:
                return
        raise Unreachable(f"Kafka at {self._addresses} does not answer ({last}); is it up, and RUNHERALD_LOG its address?") from last

    def _fault(self, error: Exception) -> RunheraldError:
        kind = type(error).__name__
        if kind in ("UnknownTopicOrPartitionError", "KafkaTimeoutError"):
            return Unreachable(
                f"Kafka at {self._addresses} did not take events ({kind}: {error}); is it up, and are its topics made (`runherald topics`)?"
            )
        if getattr(error, "retriable", False) or kind.startswith(("NoBrokers", "KafkaConnection")):
            return Unreachable(f"Kafka at {self._addresses} does not answer ({kind}: {error}); is it up, and RUNHERALD_LOG its address?")
        return RunheraldError(f"Kafka at {self._addresses} does not take events ({kind}: {error})")

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=1)

    @property
    def _addresses(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in self._servers)


def parse_servers(log: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of `kafka://host:port,host:port`; a port that is not said is 9092.

    Raises:
        InvalidInput: it is not of that form.
    """
    servers = []
    for address in log.removeprefix(SCHEME).rstrip("/").split(","):
        host, colon, port = address.strip().rpartition(":")
        if not colon:
            host, port = port, "9092"
        if not log.startswith(SCHEME) or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise InvalidInput("RUNHERALD_LOG: is not of the form kafka://host:port,host:port")
        servers.append((host.strip("[]"), int(port)))
    return servers


def _write(producer: KafkaProducer, outgoing: Outgoing) -> Any:
    return producer.send(outgoing.topic, key=outgoing.key, value=outgoing.value, headers=list(outgoing.headers))


def _rejected(index: int, event: Event, error: Exception) -> Rejected:
    return Rejected(index=index, field="data", reason=f"is larger than Kafka takes ({error}); log less at once, or as a file", id=event.id)
