"""The load of the overload drill: points, log lines and events of a fixed set of runs, so much a second, until it is ended.

    python -m tests.drills.overload_feed kafka://127.0.0.1:9092 --scale 1.0
    python -m tests.drills.overload_feed http://127.0.0.1:7460 --scale 1.0

At scale 1: 2 MB of points, 2 MB of log lines, 400 tags and 2 failed runs a second. The runs are the same all the time, but for those that
fail, so that nothing that is remembered by run has a reason to grow.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.error import URLError
from urllib.request import Request, urlopen

from runherald.clock import system_clock, to_micros
from runherald.events import AmlRunEvent, AmlRunLogEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Data, Event, LogLine, RunHeader
from runherald.events import new_event as make_event
from runherald.identifiers import new_producer_id, new_run_id
from runherald.status import Status
from runherald.streams.kafka_log import KafkaLog
from runherald.streams.log import bootstrap_servers
from runherald.wire import CONTENT_TYPE, encode_batch, to_outgoing

RUNS = 200
POINTS, NAMES = 500, 10
LINES = 150
TICK_SECONDS = 0.1
BYTES_A_SECOND = 2_000_000
TAGS_A_SECOND = 400
FAILURES_A_SECOND = 2
_BODY_EVENTS = 60
_POSTERS = 8

Send = Callable[[Sequence[Event]], None]


class Teller:
    """One run's producer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.run_id, self._producer = new_run_id(), new_producer_id()
        self._sequence = 0

    def event(self, data: Data) -> Event:
        """Return its next event."""
        event = make_event(
            data, workspace="default", run_id=self.run_id, producer=self._producer, sequence=self._sequence, time=system_clock()
        )
        self._sequence += 1
        return event

    def begin(self) -> Iterator[Event]:
        """Return the events with which the run begins."""
        header = RunHeader(experiment_name="overload", display_name=f"run {self.number}")
        yield self.event(AmlRunEvent(operation="Created", header=header))
        yield self.event(AmlRunStatusChangedEvent(status=Status.RUNNING, header=header))

    def fail(self) -> Event:
        """Return the event with which it fails."""
        return self.event(AmlRunStatusChangedEvent(status=Status.FAILED, message="out of memory"))

    def points(self) -> Event:
        """Return a batch of points."""
        now = to_micros(system_clock())
        return self.event(
            AmlRunMetricEvent(
                records=POINTS,
                names=tuple(f"metric-{number}" for number in range(NAMES)),
                series=[number % NAMES for number in range(POINTS)],
                steps=[self._sequence * POINTS + number for number in range(POINTS)],
                times=[now + number for number in range(POINTS)],
                values=[(now + number * 7919) % 1_000_003 / 1_000_003 for number in range(POINTS)],
            )
        )

    def lines(self) -> Event:
        """Return a batch of log lines."""
        now = to_micros(system_clock())
        text = f"step {self._sequence} loss 0.{now % 1_000_000:06} of the run {self.run_id}, and some words more to fill the line"
        first = self._sequence * LINES
        return self.event(
            AmlRunLogEvent(records=LINES, lines=tuple(LogLine(first + number, now + number, text) for number in range(LINES)))
        )

    def tag(self) -> Event:
        """Return a change of one tag."""
        return self.event(AmlRunEvent(operation="Updated", tags={"phase": f"{self._sequence}"}))


def feed(send: Send, scale: float) -> None:
    """Send for ever. When the other side slows it down, what was not sent in its time is not sent later."""
    runs = [Teller(number) for number in range(RUNS)]
    send([event for run in runs for event in run.begin()])
    size = {"points": len(to_outgoing(runs[0].points()).value), "lines": len(to_outgoing(runs[0].lines()).value)}
    due = {"points": 0.0, "lines": 0.0, "tags": 0.0, "failures": 0.0}
    rates = {
        "points": BYTES_A_SECOND * scale / size["points"],
        "lines": BYTES_A_SECOND * scale / size["lines"],
        "tags": TAGS_A_SECOND * scale,
        "failures": FAILURES_A_SECOND * scale,
    }
    turn = 0
    then = time.monotonic()
    while True:
        time.sleep(max(0.0, then + TICK_SECONDS - time.monotonic()))
        now = time.monotonic()
        events: list[Event] = []
        for kind, rate in rates.items():
            due[kind] += rate * min(now - then, 2 * TICK_SECONDS)
            while due[kind] >= 1:
                due[kind] -= 1
                turn += 1
                events += _made(kind, runs[turn % RUNS], turn)
        then = now
        send(events)


def _made(kind: str, run: Teller, turn: int) -> list[Event]:
    match kind:
        case "points":
            return [run.points()]
        case "lines":
            return [run.lines()]
        case "tags":
            return [run.tag()]
        case _:
            failing = Teller(turn)
            return [*failing.begin(), failing.fail()]


def to_kafka(url: str) -> Send:
    """Return what appends to a Kafka."""
    log = KafkaLog(bootstrap_servers(url))

    def send(events: Sequence[Event]) -> None:
        log.append([to_outgoing(event) for event in events])

    return send


def to_server(url: str) -> Send:
    """Return what posts to a server, some bodies at once, and each again and again while there is no room for it."""
    posting = ThreadPoolExecutor(_POSTERS)
    waiting: deque[Future[None]] = deque()

    def post(events: Sequence[Event]) -> None:
        request = Request(f"{url}/api/v1/events", encode_batch(events), {"Content-Type": CONTENT_TYPE})
        while not _posted(request):
            time.sleep(0.5)

    def send(events: Sequence[Event]) -> None:
        for begin in range(0, len(events), _BODY_EVENTS):
            if len(waiting) >= 2 * _POSTERS:
                waiting.popleft().result()
            waiting.append(posting.submit(post, events[begin : begin + _BODY_EVENTS]))

    return send


def _posted(request: Request) -> bool:
    try:
        with urlopen(request, timeout=60) as reply:
            return bool(reply.read())
    except (URLError, OSError):
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Feed until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(arguments)
    feed(to_kafka(options.url) if options.url.startswith("kafka://") else to_server(options.url), options.scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
