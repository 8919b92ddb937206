"""Silence into claims: a run that promised to be heard of and is not, is claimed to be not responding, and later to have failed.

A claim is an event like any other; history folds it, and the run itself withdraws it by being heard of again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from runherald.clock import Clock, from_micros
from runherald.errors import InvalidEvent, Unreachable
from runherald.events import AmlRunHeartbeatEvent, AmlRunStatusChangedEvent, Event
from runherald.limits import SERVER_LIMITS
from runherald.records import Outgoing, Record, TopicPartition
from runherald.status import TERMINAL, Status
from runherald.streams.watched_runs import Watched, anew, follow, verdict
from runherald.topics import EVENTS
from runherald.validation import check_event
from runherald.wire import from_record, to_outgoing

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=10)
"""Between two calls, which come about once a second. Longer, and the process was frozen, the machine asleep, or the clock set."""
RELOAD_EVERY = timedelta(seconds=60)
RETRY_EVERY = timedelta(seconds=2)
"""While history is away. Who is heard of is watched meanwhile; those that history alone knows of are taken up when it is back."""
QUIET_AFTER = timedelta(seconds=5)
"""A partition of which nothing was read for so long holds nothing that waits to be read."""
ENDED_KEPT = 20_000
"""Runs that ended, remembered so that a heartbeat sent just before does not bring them back."""

RunKey = tuple[str, str]


class ActiveRun(Struct, frozen=True, kw_only=True):
    """A run that has not ended, as history has it.

    Attributes:
        partition: the partition of the events' topic that its events are in.
        last_seen: when it was last alive, by its own clock.
        claimed: since when it is claimed to be not responding, if it is.
    """

    workspace: str
    run_id: str
    partition: TopicPartition
    status: Status
    last_seen: datetime | None = None
    lease_seconds: float = 0.0
    claimed: datetime | None = None


LoadActive = Callable[[Collection[TopicPartition]], Iterable[ActiveRun]]
"""Returns the active runs whose events are in these partitions. May block: it is called off the event loop."""


class LeasesProcessor:
    """The processor `leases`.

    Silence is measured by when the log took what a run sent: producers' clocks differ. Time goes on, for a partition, with what was read
    of it; only where nothing waits does the clock count. So a watcher that is behind condemns nobody whose heartbeats it has not read,
    and a lease begins anew when the watch does: heartbeats may have been unable to reach a server that was away. So it does when the clock
    was set, or nobody watched for a while: how long a run has been silent is not known then.
    """

    name = "leases"
    topics: tuple[str, ...] = (EVENTS,)

    def __init__(self, load_active: LoadActive, *, clock: Clock, grace: timedelta) -> None:
        self._load_active = load_active
        self._clock = clock
        self._grace = grace
        self._runs: dict[RunKey, Watched] = {}
        self._ended: OrderedDict[RunKey, None] = OrderedDict()
        self._partitions: dict[TopicPartition, _Reading] = {}
        self._history_away = False
        self._looked = self._loaded = self._called = clock()

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Watch the active runs of these partitions, from now on."""
        self._begin(end_offsets.keys(), self._clock())
        await self._load(end_offsets.keys())

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the runs of these partitions."""
        for partition in partitions:
            self._partitions.pop(partition, None)
        self._runs = {key: run for key, run in self._runs.items() if run.partition not in partitions}

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Note who is heard of; about once a second return claims about those who are not."""
        now = self._clock()
        if not timedelta() <= now - self._called <= LONGEST_PAUSE:
            self._begin_anew(now)
        for record in records:
            self._note(record, now)
        if now - self._loaded >= RELOAD_EVERY:
            # What was noted after history's last write and committed before a restart is known to history alone by now.
            await self._load(self._partitions.keys())
        self._called = self._clock()
        if now - self._looked < LOOK_EVERY:
            return ()
        self._looked = now
        return [to_outgoing(event, EVENTS) for event in self._look(now)]

    async def flush(self) -> Sequence[Outgoing]:
        """Do nothing: all that is held comes back from history and the log."""
        return ()

    def _begin(self, partitions: Iterable[TopicPartition], now: datetime) -> None:
        for partition in partitions:
            self._partitions[partition] = _Reading(since=now, read=now, time=now)

    def _begin_anew(self, now: datetime) -> None:
        logger.info("watch of leases begins anew runs=%d seconds=%.0f", len(self._runs), (now - self._called).total_seconds())
        self._begin(list(self._partitions), now)
        self._runs = {key: anew(run, now, self._grace) for key, run in self._runs.items()}
        self._looked = self._loaded = now

    def _note(self, record: Record, now: datetime) -> None:
        reading = self._partitions.get(record.topic_partition)
        if reading is None:
            return
        arrived = from_micros(record.timestamp * 1000)
        self._partitions[record.topic_partition] = reading = _Reading(
            since=reading.since, read=now, time=min(now, max(reading.time if reading.begun else arrived, arrived)), begun=True
        )
        try:
            event = from_record(record)
            check_event(event, SERVER_LIMITS)
        except InvalidEvent:
            return  # history makes the dead letter of it
        key = (event.workspace, event.run_id)
        known = self._runs.get(key) or self._new(key, record.topic_partition, event, reading.since)
        if known is None:
            return
        # The log's clock may be ahead of ours.
        run = follow(known, event, min(now, max(arrived, reading.since)))
        if run is not None:
            self._runs[key] = run
            return
        self._runs.pop(key, None)
        if not _is_claim(event):
            self._ended[key] = None
            while len(self._ended) > ENDED_KEPT:
                self._ended.popitem(last=False)

    def _new(self, key: RunKey, partition: TopicPartition, event: Event, since: datetime) -> Watched | None:
        """Begin to watch a run that sends heartbeats, or goes on after its end."""
        if isinstance(event.data, AmlRunStatusChangedEvent):
            if event.data.resume:
                self._ended.pop(key, None)
            elif event.data.status not in TERMINAL:
                return None
        elif not isinstance(event.data, AmlRunHeartbeatEvent) or key in self._ended:
            return None
        return Watched(workspace=event.workspace, run_id=event.run_id, partition=partition, heard=since)

    def _look(self, now: datetime) -> list[Event]:
        claims = []
        for key, run in list(self._runs.items()):
            reading = self._partitions[run.partition]
            claim = verdict(run, now if now - reading.read >= QUIET_AFTER else reading.time, self._grace)
            if claim is None:
                continue
            claims.append(claim)
            after = follow(run, claim, now)
            if after is None:
                del self._runs[key]
            else:
                self._runs[key] = after
        return claims

    async def _load(self, partitions: Collection[TopicPartition]) -> None:
        self._loaded = now = self._clock()
        wanted = list(partitions)
        if not wanted:
            return
        for run in await self._active(wanted):
            key = (run.workspace, run.run_id)
            if key in self._runs or key in self._ended or run.partition not in self._partitions:
                continue
            known = Watched(
                workspace=run.workspace,
                run_id=run.run_id,
                partition=run.partition,
                heard=now,
                last_seen=run.last_seen,
                lease_seconds=run.lease_seconds,
                cancel_requested=run.status is Status.CANCEL_REQUESTED,
                claimed=run.claimed,
            )
            self._runs[key] = anew(known, now, self._grace)

    async def _active(self, wanted: Collection[TopicPartition]) -> list[ActiveRun]:
        """Ask history; while it is away there are none, and it is asked again soon."""
        try:
            active = await asyncio.to_thread(lambda: list(self._load_active(wanted)))
        except Unreachable as error:
            self._loaded += RETRY_EVERY - RELOAD_EVERY
            if not self._history_away:
                logger.warning("history is away what=active_runs seconds=%.0f error=%s", RETRY_EVERY.total_seconds(), type(error).__name__)
            self._history_away = True
            return []
        if self._history_away:
            logger.info("history is back what=active_runs")
        self._history_away = False
        return active


class _Reading(Struct, frozen=True):
    """How far a partition is read: since when it is watched, when something was last read, and up to which moment of the log."""

    since: datetime
    read: datetime
    time: datetime
    begun: bool = False


def _is_claim(event: Event) -> bool:
    return isinstance(event.data, AmlRunStatusChangedEvent) and event.data.claim
