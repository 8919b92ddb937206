"""A producer: turns what a Run is told into records of its journal, and counts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runherald.clock import micros_now
from runherald.errors import InvalidInput
from runherald.events import AmlRunHeartbeatEvent, Data
from runherald.producers.journal.entries import Lines, Logged, Point, Text, encode_entry, said
from runherald.producers.journal.journal import Journal
from runherald.producers.shipping.send_queue import SendQueue

BEATS_A_LEASE = 3
GIVEN = -1
"""In place of the next step of a metric whose steps are the caller's: they are given for all of its values, or for none."""
_TOO_LATE = 4_102_444_800_000_000
"""The year 2100, in microseconds since 1970: no event of then is taken."""


def to_go_on(step: int) -> int:
    """Return what stands for the next step of a metric that another process logged: it may go on there, or be given steps from now on.
    The same function leads back."""
    return GIVEN - 1 - step


class Recorder:
    """Appends to one journal. Safe between threads; no two of its records have the same time, and none an earlier one than those before
    it, whatever the clock does.

    Args:
        steps: the next step of each metric's name, GIVEN, or less (`to_go_on`); shared by the recorders that a Run has one after the other.
        lease_seconds: a heartbeat is journalled three times a lease, while the network takes them; none when it is 0.
        micros: the time in microseconds since 1970.
    """

    def __init__(
        self,
        journal: Journal,
        queue: SendQueue,
        steps: dict[str, int],
        *,
        lease_seconds: float = 0.0,
        host: str = "",
        pid: int | None = None,
        micros: Callable[[], int] = micros_now,
    ) -> None:
        self.journal = journal
        self.queue = queue
        self.closed = False
        self._lock = journal.lock
        self._steps = steps
        self._lines: dict[str, int] = {}
        self._micros = micros
        self._last_time = 0
        self._heartbeat = AmlRunHeartbeatEvent(lease_seconds=lease_seconds, host=host, pid=pid)
        self._next_beat = float("-inf")
        self._last_beat = -1
        if lease_seconds:
            queue.beat = self.beat

    def log(self, name: str, value: float | str, step: int | None = None, description: str = "") -> None:
        """Record a number or text; without a step, at the next one of the name."""
        with self._lock:
            following = self._steps.get(name, 0)
            if step is None:
                if following < 0:
                    following = self._go_on(name, following)
                step = following
                self._steps[name] = step + 1
            elif following > 0:
                raise self._mixed(name)
            else:
                self._steps[name] = GIVEN
            now = self._micros()
            if not self._last_time < now < _TOO_LATE:
                now = self._last_time + 1
            self._last_time = now
            if self.closed:
                raise self._ended()
            if isinstance(value, str):
                self.journal.append(encode_entry(Text(name, step, now, value, description)))
            else:
                self.journal.append(encode_entry(Point(name, step, now, value, description)))

    def log_items(self, name: str, values: Sequence[float | str], description: str = "") -> None:
        """Record numbers and texts, each at the next step of the name, in few writes."""
        with self._lock:
            step = self._steps.get(name, 0)
            if step < 0:
                step = self._go_on(name, step)
            self._steps[name] = step + len(values)
            first = self._now()
            self._last_time = first + len(values) - 1  # a microsecond each
            if self.closed:
                raise self._ended()
            self.journal.extend(
                encode_entry(
                    Text(name, step + index, first + index, value, description)
                    if isinstance(value, str)
                    else Point(name, step + index, first + index, value, description)
                )
                for index, value in enumerate(values)
            )

    def log_object(self, name: str, kind: str, value: object, description: str = "") -> None:
        """Record a row, table or list, at the next step of the name."""
        with self._lock:
            step = self._steps.get(name, 0)
            if step < 0:
                step = self._go_on(name, step)
            self._steps[name] = step + 1
            self._append(encode_entry(Logged(name, step, self._now(), kind, value, description)))

    def log_lines(self, file: str, stream: str, texts: tuple[str, ...]) -> None:
        """Record lines of a file, after those before."""
        with self._lock:
            number = self._lines.get(file, 0)
            self._lines[file] = number + len(texts)
            self._append(encode_entry(Lines(file, stream, number, self._now(), texts)))

    def say(self, data: Data) -> None:
        """Record an event, as of now."""
        with self._lock:
            self._append(encode_entry(said(data, self._now())))

    def beat(self, now: float, acknowledged: int) -> None:
        """Record a heartbeat if one is due and the last one is acknowledged: while the network is away, one is enough."""
        if now < self._next_beat or self._last_beat >= acknowledged:
            return
        with self._lock:
            if self.closed:
                return
            self._last_beat = self.journal.next_ordinal
            self._append(encode_entry(said(self._heartbeat, self._now())))
        self._next_beat = now + self._heartbeat.lease_seconds / BEATS_A_LEASE

    def close(self) -> None:
        """Take no more records; the shipper sends what there is and lets go of the journal."""
        with self._lock:
            self.closed = True
            self.queue.closed = True

    def abandon(self) -> None:
        """In a forked child: close the child's copies of the parent's files. Another recorder takes over."""
        self.closed = True
        self.queue.beat = None
        self.journal.close()

    def _go_on(self, name: str, following: int) -> int:
        if following == GIVEN:
            raise self._mixed(name)
        return to_go_on(following)

    def _append(self, payload: bytes) -> None:
        if self.closed:
            raise self._ended()
        self.journal.append(payload)

    def _now(self) -> int:
        now = self._micros()
        self._last_time = now if self._last_time < now < _TOO_LATE else self._last_time + 1
        return self._last_time

    def _mixed(self, name: str) -> InvalidInput:
        before = "with a step before" if self._steps[name] == GIVEN else "without a step before"
        return InvalidInput(
            f"run {self.journal.head.run_id}: metric {name!r}: was logged {before}; pass a step with all of its values, or with none"
        )

    def _ended(self) -> InvalidInput:
        return InvalidInput(f"run {self.journal.head.run_id}: the run has ended; nothing more is taken")
