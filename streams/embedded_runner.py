"""The embedded runner: all processors within the server's process, each in a lane of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from runherald.records import Processor
from runherald.streams.cycle import DEFAULT_POLICY, FlushPolicy, Monotonic
from runherald.streams.fill import Filled
from runherald.streams.health import PartitionLag, ProcessorHealth
from runherald.streams.lane import BACK_OFF, Lane
from runherald.streams.log import Log, group_of

logger = logging.getLogger(__name__)

STOP_SECONDS = 20.0


class EmbeddedRunner:
    """Runs processors, given as factories by name, on any log. A slow or failing one never delays another.

        runner = EmbeddedRunner(log, {"history": make_history, "mailer": make_mailer})
        runner.start()
        …
        runner.stop()

    A factory is called in its lane's thread, and again after a failure: state that went wrong does not survive. `back_off` is the seconds
    before each restart, the last of them from then on.
    """

    def __init__(
        self,
        log: Log,
        factories: Mapping[str, Callable[[], Processor]],
        *,
        clock: Monotonic = time.monotonic,
        policy: FlushPolicy = DEFAULT_POLICY,
        back_off: Sequence[float] = BACK_OFF,
    ) -> None:
        self._log = log
        self._clock = clock
        self._lanes = [Lane(name, factory, log, clock=clock, policy=policy, back_off=back_off) for name, factory in factories.items()]

    def start(self) -> None:
        """Start all processors; returns at once."""
        for lane in self._lanes:
            lane.start()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Let all processors flush and commit, and say whether all did within `timeout` seconds."""
        for lane in self._lanes:
            lane.ask_to_stop()
        deadline = time.monotonic() + timeout
        late = [lane.name for lane in self._lanes if not lane.join(max(0.0, deadline - time.monotonic()))]
        if late:
            logger.warning("runner=embedded event=stopped late=%s; what they had not committed comes again", ",".join(late))
        return not late

    def health(self) -> list[ProcessorHealth]:
        """Return how each processor is doing."""
        return [lane.health for lane in self._lanes]

    def fills(self) -> list[Filled]:
        """Return how much each processor has taken in and not made durable yet."""
        return [(lane.name, lane.fill()) for lane in self._lanes]

    @property
    def healthy(self) -> bool:
        """Whether every processor runs."""
        return all(each.state in ("starting", "running") for each in self.health())

    def lag(self) -> list[PartitionLag]:
        """Return how far each processor is behind, for each partition that it reads."""
        lags = []
        for lane in self._lanes:
            begins, ends = self._log.begin_offsets(lane.topics), self._log.end_offsets(lane.topics)
            committed = {**begins, **self._log.committed(group_of(lane.name), lane.topics)}
            lags += [PartitionLag(lane.name, at.topic, at.partition, committed[at], end) for at, end in ends.items()]
        return lags
