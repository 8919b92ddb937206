"""One process that runs one processor on Faust until it is told to stop, or must not go on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runherald.errors import RunheraldError
from runherald.records import Processor
from runherald.streams.cycle import FlushPolicy
from runherald.streams.faust_app import make_app
from runherald.streams.faust_lane import FaustLane
from runherald.streams.kafka_offsets import KafkaOffsets
from runherald.streams.log import group_of
from runherald.streams.watchdog import Patience, Watchdog
from runherald.streams.worker_figures import FillBoard

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
FIGURE_SECONDS = 0.5
TALKATIVE = {"aiokafka": logging.WARNING, "faust": logging.WARNING, "kafka": logging.CRITICAL, "mode": logging.WARNING}
"""Libraries that log each step of a rebalance or a connection, and how much of it is kept: kafka warns by the dozen of a broker that is
away, and we say it once."""


class FaustWorker:
    """Runs a processor as a member of its group."""

    def __init__(
        self,
        name: str,
        factory: Callable[[], Processor],
        servers: Sequence[str],
        *,
        policy: FlushPolicy,
        patience: Patience,
        stop_seconds: float,
        session_seconds: float,
        board: FillBoard,
    ) -> None:
        self._name = name
        self._factory = factory
        self._servers = servers
        self._policy = policy
        self._patience = patience
        self._stop_seconds = stop_seconds
        self._session_seconds = session_seconds
        self._board = board

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, and return the exit status: 0 when all that was taken in is flushed and committed."""
        for library, level in TALKATIVE.items():
            logging.getLogger(library).setLevel(level)
        try:
            asyncio.run(self._run())
        except Exception as error:  # the edge: one line says why the worker ends, with a traceback where it was not foreseen
            expected = isinstance(error, RunheraldError)
            said = f"{type(error).__name__}: {error}"
            logger.log(logging.ERROR, "processor=%s event=ended error=%s", self._name, said, exc_info=None if expected else error)
            return error.exit_status if isinstance(error, RunheraldError) else 1
        logger.info("processor=%s event=stopped", self._name)
        return 0

    async def _run(self) -> None:
        stop = asyncio.Event()
        # First of all: a stop while Kafka is still being asked is one in order, too.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        offsets = await asyncio.to_thread(KafkaOffsets, self._servers)
        try:
            processor = self._factory()
            await asyncio.to_thread(offsets.check_topics, processor.topics)
            if stop.is_set():
                return
            with tempfile.TemporaryDirectory(prefix="runherald-") as folder:
                app = make_app(group_of(self._name), self._servers, Path(folder), session_seconds=self._session_seconds)
                lane = FaustLane(app, processor, offsets, policy=self._policy)
                await self._serve(app, lane, offsets, processor.topics, stop)
        finally:
            offsets.close()

    async def _serve(self, app: Any, lane: FaustLane, offsets: KafkaOffsets, topics: Sequence[str], stop: asyncio.Event) -> None:
        with _watched(self._name, lane, offsets, topics, self._patience):
            await app.start()
            logger.info("processor=%s event=started group=%s", self._name, group_of(self._name))
            running = asyncio.create_task(lane.run())
            telling = asyncio.create_task(self._tell(lane))
            crashed = asyncio.create_task(app.wait_until_stopped())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({running, crashed, stopping}, return_when=asyncio.FIRST_COMPLETED)
            try:
                if crashed.done():
                    raise app.crash_reason or RuntimeError("Faust stopped by itself")
                lane.stop()
                await asyncio.wait_for(running, self._stop_seconds)
            finally:
                for task in (running, telling, crashed, stopping):
                    task.cancel()
                await asyncio.wait_for(app.stop(), self._stop_seconds)

    async def _tell(self, lane: FaustLane) -> None:
        while True:
            self._board.write(lane.fills())
            await asyncio.sleep(FIGURE_SECONDS)


class _watched:  # noqa: N801  # a context, read as a word
    """A thread that ends the process when the lane is stuck: the event loop may be what is stuck."""

    def __init__(self, name: str, lane: FaustLane, offsets: KafkaOffsets, topics: Sequence[str], patience: Patience) -> None:
        self._name = name
        self._lane = lane
        self._offsets = offsets
        self._topics = topics
        self._watchdog = Watchdog(patience)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="runherald-watchdog", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                ends = self._offsets.end(self._topics)
            except RunheraldError as error:
                # No broker, no judgement: there is nothing that could be taken.
                logger.warning("processor=%s event=offsets_unknown error=%s", self._name, error)
                continue
            reason = self._watchdog.look(time.monotonic(), self._lane.positions(), ends, self._lane.called_since)
            if reason is not None:
                logger.critical("processor=%s event=stuck error=%s; the worker ends, start another", self._name, reason)
                os._exit(1)
