"""A lane: one processor on a log, in a thread and an event loop of its own, so that no processor waits for another."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec.structs import replace

from runherald.errors import RunheraldError
from runherald.records import Outgoing, Processor, Record, TopicPartition
from runherald.streams.cycle import Cycle, FlushPolicy, Monotonic
from runherald.streams.errors import TooManyDeadLetters
from runherald.streams.fill import Fill
from runherald.streams.health import ProcessorHealth
from runherald.streams.log import Consumer, Log, group_of

logger = logging.getLogger(__name__)

MAX_RECORDS = 2_000
MAX_WAIT = 0.5
"""Seconds that a lane waits for records at most: so long may a stop take."""
BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each restart of a processor that stopped; the last one holds from then on."""


class Lane:
    """Runs one processor from its factory until it is stopped.

    An exception that escapes the processor is said, and ends it; a fresh one starts from what was committed, after a back-off. Too many
    dead letters end it for good.
    """

    def __init__(
        self,
        name: str,
        factory: Callable[[], Processor],
        log: Log,
        *,
        clock: Monotonic,
        policy: FlushPolicy,
        back_off: Sequence[float],
    ) -> None:
        self.name = name
        self._factory = factory
        self._log = log
        self._clock = clock
        self._policy = policy
        self._back_off = back_off
        self.health = ProcessorHealth(name)
        self.topics: tuple[str, ...] = ()
        self._progress = False
        self._cycle: Cycle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = threading.Event()
        self._wake: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._live, name=f"runherald-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Ask the processor to flush, commit and end; returns at once."""
        self._stop.set()
        if self._loop is not None and self._wake is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def join(self, timeout: float) -> bool:
        """Wait for the end, and say whether it came within the time. One that takes longer is abandoned, its offsets uncommitted."""
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return True
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        return False

    def fill(self) -> Fill:
        """Return how much its processor has taken in and not made durable yet."""
        cycle = self._cycle
        return cycle.fill() if cycle is not None else Fill("taken", 0, self._policy.records, 0, self._policy.size)

    def _live(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            self.health = replace(self.health, state="stopped", error="abandoned: it took too long to stop")

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._wake = asyncio.Event()
        failures = 0
        while not self._stop.is_set():
            self._progress = False
            try:
                await self._serve()
            except TooManyDeadLetters as error:
                self._fail("failed", error)
                return
            except Exception as error:  # the edge: a processor that fails must not end the server, and must not be silent
                failures = 0 if self._progress else failures + 1
                self._fail("restarting", error)
                await self._pause(self._back_off[min(failures, len(self._back_off) - 1)])
        self.health = replace(self.health, state="stopped")

    async def _serve(self) -> None:
        """Run a fresh processor until a stop is asked for; what it raises goes through."""
        processor = self._factory()
        self.topics = tuple(processor.topics)
        # Of its own: a consumer belongs to one thread, and the loop stays free while it waits for records.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"runherald-{self.name}-poll") as reader:
            channel = _LogChannel(self._log, reader)
            cycle = self._cycle = Cycle(processor, channel, clock=self._clock, policy=self._policy)
            members = _Members(cycle, self._log, asyncio.get_running_loop())
            consumer = await channel.read(
                lambda: self._log.consumer(group_of(self.name), processor.topics, on_assigned=members.assigned, on_revoked=members.revoked)
            )
            channel.consumer = consumer
            try:
                self.health = replace(self.health, state="running")
                while not self._stop.is_set():
                    await self._turn(cycle, channel, consumer)
                await cycle.flush()
            except BaseException:
                members.leave()
                raise
            finally:
                # Dropped with the processor: what it held comes again.
                self._cycle = None
                await channel.read(consumer.close)

    async def _turn(self, cycle: Cycle, channel: _LogChannel, consumer: Consumer) -> None:
        wait = min(MAX_WAIT, cycle.seconds_to_next())
        records: Sequence[Record] = await channel.read(lambda: consumer.poll(MAX_RECORDS, wait))
        if records:
            await cycle.take(records)
            self._progress = True
        await cycle.tick()

    async def _pause(self, seconds: float) -> None:
        assert self._wake is not None
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            self.health = replace(self.health, restarts=self.health.restarts + 1)

    def _fail(self, state: str, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        self.health = replace(self.health, state=state, error=said)
        expected = isinstance(error, RunheraldError)
        logger.error("processor=%s state=%s error=%s", self.name, state, said, exc_info=None if expected else error)


class _LogChannel:
    """The log's blocking calls, off the event loop."""

    def __init__(self, log: Log, reader: ThreadPoolExecutor) -> None:
        self._log = log
        self._reader = reader
        self.consumer: Consumer | None = None

    async def read(self, call: Callable[[], Any]) -> Any:
        """Call in the consumer's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, call)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        await asyncio.to_thread(self._log.append, records)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        consumer = self.consumer
        assert consumer is not None
        await self.read(lambda: consumer.commit(offsets))


class _Members:
    """Brings what a consumer says of its partitions, in its own thread, to the cycle's event loop.

    The loop only waits for that thread at such a moment, so the cycle's calls do not overlap.
    """

    def __init__(self, cycle: Cycle, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle = cycle
        self._log = log
        self._loop = loop
        self._left = False

    def leave(self) -> None:
        """Tell a processor that failed nothing more: it is dropped with all it holds."""
        self._left = True

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        ends = self._log.end_offsets({partition.topic for partition in partitions})
        self._call(self._cycle.assigned({partition: ends[partition] for partition in partitions}))

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        if not self._left:
            self._call(self._cycle.revoked(partitions))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()
