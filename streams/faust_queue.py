"""The queue between Faust's consumer and its agent: bounded by bytes, too.

Faust counts messages alone: 4,096 of them may be some hundred kilobytes or four gigabytes.
"""

from __future__ import annotations

from typing import Any

from mode.utils.queues import FlowControlEvent, ThrowableQueue

MAX_EVENTS = 4_096
MAX_BYTES = 8 * 1024 * 1024


class FaustQueue(ThrowableQueue[Any]):
    """A queue that is full at a number of events or of bytes, whichever comes first.

    What Faust does at `full` it does at both: whoever reads from Kafka waits, and the partition is not fetched meanwhile.
    """

    def __init__(self, maxsize: int, *, flow_control: FlowControlEvent, clear_on_resume: bool, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(maxsize, flow_control=flow_control, clear_on_resume=clear_on_resume)
        self._max_bytes = max_bytes
        self.size = 0

    def full(self) -> bool:
        """Say whether there is no room."""
        return self.size >= self._max_bytes or super().full()

    def in_pressure_high_state(self, callback: Any) -> bool:
        """Say whether it has just come near to a bound: from then on the partition is not fetched, until there is room again."""
        pending = self._pending_pressure_drop_callbacks
        if callback in pending or self.size < self._max_bytes / self.pressure_high_ratio:
            return super().in_pressure_high_state(callback)
        pending.add(callback)
        self.on_pressure_high()
        return True

    def maybe_endorse_pressure_drop(self) -> None:
        """Let partitions be fetched again, once there is room for bytes as well."""
        if self.size <= self._max_bytes * self.pressure_drop_ratio:
            super().maybe_endorse_pressure_drop()

    def clear(self) -> None:
        """Drop everything."""
        super().clear()
        self.size = 0

    def _put(self, item: Any) -> None:
        self.size += _size(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.size -= _size(item)
        return item


def _size(event: Any) -> int:
    message = getattr(event, "message", None)
    return len(message.value or b"") if message is not None else 0
