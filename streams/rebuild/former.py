"""A log that took the place of another: history goes on behind what it holds, and what it holds can still be made again.

`go_on` marks all rows of the topics that were replaced as those of a former log, and forgets how far their processors were. From then on
`replay_former` folds the events of former logs, from `run_events`, before those of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from runherald.alerts import alerting
from runherald.clock import Clock
from runherald.errors import InvalidInput
from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.former_log import STEP, marks, marks_of_replayed
from runherald.sinks.fresh_copy import FreshCopy
from runherald.sinks.select import select
from runherald.sinks.table_shape import shape_of
from runherald.sinks.writer import TableWriter
from runherald.streams.log import Log, group_of
from runherald.streams.rebuild.derived import derived
from runherald.streams.rebuild.plan import Part
from runherald.streams.rebuild.reading import stored_events
from runherald.streams.rebuild.replay import Say
from runherald.streams.rebuild.rest import Running, await_rest
from runherald.topics import EVENTS, STATUS

POSITIONS = ("ingest_batches", "ingest_watermarks")

_FORMER = f"SELECT _partition, max(_offset) + 1 FROM run_events WHERE _partition >= {STEP} GROUP BY _partition ORDER BY _partition"  # noqa: S608


def go_on(log: Log, history: HistoryDatabase, *, running: Running, clock: Clock, say: Say, cluster: str = "") -> list[str]:
    """Let history go on with a log that took the place of the one it was made from; return the processors that begin anew.

    Raises:
        InvalidInput: the log goes on where history is, so that there is nothing to do.
        ProcessorsRun: processors run that would write meanwhile.
    """
    behind = asyncio.run(_behind(log, history, clock))
    if not behind:
        raise InvalidInput("--new-log: the log goes on where history is; nothing was changed")
    groups = [group_of(name) for name in behind]
    await_rest(running, groups, 0.0, say)
    copy = FreshCopy(history, cluster=cluster)
    try:
        tables = [table for each in derived() if each.processor in behind for table in each.tables]
        for table in tables:
            say(f"{table}: marked as of the former log")
            copy.carry(table, "1", marks(shape_of(history, table)))
        names = ", ".join(f"'{name}'" for name in behind)
        copy.carry(POSITIONS[0], f"processor NOT IN ({names})")
        # By themselves: what is carried of the batches, which are kept for a month, does not say all.
        copy.carry(POSITIONS[1], f"processor NOT IN ({names})")
        await_rest(running, groups, 0.0, say)
        # The positions last: were they forgotten before the tables are exchanged, the new log would meet rows of the former one.
        copy.exchange([*tables, *copy.fed(tables), *POSITIONS])
    finally:
        copy.close()
        copy.drop()
    return behind


async def replay_former(copy: FreshCopy, history: HistoryDatabase, *, clock: Clock, say: Say) -> None:
    """Fold the events of former logs into the fresh tables, those of the oldest first."""
    ends: dict[int, int] = dict(select(history, _FORMER))
    history_of_runs = next(each for each in derived() if each.topic == EVENTS)
    for age in sorted({partition // STEP for partition in ends}, reverse=True):
        processor = history_of_runs.make(copy.tables, clock)
        those = {partition: end for partition, end in ends.items() if partition // STEP == age}
        await processor.assigned({TopicPartition(EVENTS, partition): end for partition, end in those.items()})
        read = 0
        for partition, end in those.items():
            part = Part(topic=EVENTS, partition=partition, older="run_events", log_from=end, until=end, log_end=end)
            for records in stored_events(history, part):
                await processor.process(records)
                await processor.flush()
                read += len(records)
        for table in history_of_runs.tables:
            if shape_of(copy.tables, table).has("version"):
                copy.replace(table, marks_of_replayed())
        say(f"{history_of_runs.processor}: {read} events of a former log read from run_events")


async def _behind(log: Log, history: HistoryDatabase, clock: Clock) -> list[str]:
    """Return the processors that have stored more of a partition of their topic than the log holds."""
    topics = {**{each.processor: each.topic for each in derived()}, alerting.NAME: STATUS}
    behind = []
    for name, topic in topics.items():
        ends = log.end_offsets([topic])
        stored: Mapping[TopicPartition, int] = await TableWriter(history, name, clock).watermarks(ends.keys())
        if any(stored[at] >= end for at, end in ends.items()):
            behind.append(name)
    return behind
