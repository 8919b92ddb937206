"""History compared with the log, and made again from it.

    differences = compare(log, history)

Both make the tables again beside history's, by the processors that made those, as far as each processor had come; then they compare.
`rebuild` exchanges the tables as well. What a processor had stored but not finished is of records beyond that point: `compare` leaves such
rows out, and after a `rebuild` they come again from the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from runherald.clock import Clock, system_clock
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.differences import TableDifferences, compare_table
from runherald.sinks.fresh_copy import FreshCopy
from runherald.sinks.open_rows import open_rows
from runherald.sinks.table_shape import shape_of
from runherald.sinks.writer import TableWriter
from runherald.streams.log import Log, group_of
from runherald.streams.rebuild.derived import LEFT, Derived, derived
from runherald.streams.rebuild.former import replay_former
from runherald.streams.rebuild.older import carry_older
from runherald.streams.rebuild.plan import Part, plan, words_of
from runherald.streams.rebuild.replay import Replay, Say
from runherald.streams.rebuild.rest import Running, await_rest


class Differences(Struct, frozen=True, kw_only=True):
    """How history compares with the log.

    Attributes:
        tables: every table that is made of the log.
        sources: what was read from where, in words.
        left: the tables that were not compared, and why.
    """

    tables: tuple[TableDifferences, ...]
    sources: tuple[str, ...]
    left: Mapping[str, str]

    @property
    def equal(self) -> bool:
        """Whether no row differs."""
        return self.count == 0

    @property
    def count(self) -> int:
        """How many rows differ."""
        return sum(table.count for table in self.tables)


def compare(
    log: Log, history: HistoryDatabase, *, cluster: str = "", clock: Clock = system_clock, say: Say = lambda _line: None
) -> Differences:
    """Return how history differs from what the log makes of it. Changes nothing; may run beside live processors.

    Raises:
        LogReplaced: the log ends before what history holds.
        LogMoved: the log dropped records while they were read.
    """
    return asyncio.run(_Rebuild(log, history, cluster, clock, say).compare())


def rebuild(
    log: Log,
    history: HistoryDatabase,
    *,
    running: Running,
    wait_seconds: float = 0.0,
    cluster: str = "",
    clock: Clock = system_clock,
    say: Say = lambda _line: None,
) -> Differences:
    """Put what the log makes of history in its place, and return what differed.

    The fresh tables are filled beside live processors; for the exchange these must have stopped, for which is waited `wait_seconds`. What
    they stored meanwhile is read before it.

    Raises:
        ProcessorsRun: they did not stop.
        LogReplaced: the log ends before what history holds.
        LogMoved: the log dropped records while they were read.
    """
    return asyncio.run(_Rebuild(log, history, cluster, clock, say).exchange(running, wait_seconds))


class _Rebuild:
    def __init__(self, log: Log, history: HistoryDatabase, cluster: str, clock: Clock, say: Say) -> None:
        self._log = log
        self._history = history
        self._cluster = cluster
        self._clock = clock
        self._say = say
        self._parts: dict[str, list[Part]] = {}
        self._replays: dict[str, Replay] = {}
        self._finished: dict[str, Mapping[int, int]] = {}

    async def compare(self) -> Differences:
        copy = FreshCopy(self._history, cluster=self._cluster)
        try:
            await self._fill(copy)
            carry_older(copy, self._parts, self._replays)
            return self._differences(copy)
        finally:
            copy.close()
            copy.drop()

    async def exchange(self, running: Running, wait_seconds: float) -> Differences:
        copy = FreshCopy(self._history, cluster=self._cluster)
        try:
            await self._fill(copy)
            self._await_rest(running, wait_seconds)
            await self._catch_up()
            carry_older(copy, self._parts, self._replays)
            differences = self._differences(copy)
            tables = [table for each in derived() for table in (*each.tables, *copy.fed(each.tables))]
            self._await_rest(running, 0.0)
            copy.exchange(tables)
            self._say(f"exchanged {len(tables)} tables")
            return differences
        finally:
            copy.close()
            copy.drop()

    async def _fill(self, copy: FreshCopy) -> None:
        # All are planned first: what cannot be done is said before anything is read.
        for each in derived():
            self._parts[each.processor] = await self._plan(each)
        for line in self._sources():
            self._say(line)
        await replay_former(copy, self._history, clock=self._clock, say=self._say)
        for each in derived():
            replay = self._replays[each.processor] = Replay(each, self._log, self._history, copy.tables, clock=self._clock, say=self._say)
            await replay.run(self._parts[each.processor])

    async def _catch_up(self) -> None:
        """Read what the processors have stored since `_fill` planned. They have stopped, so that this is the end of it."""
        for each in derived():
            before_this = {part.at: part.until for part in self._parts[each.processor]}
            parts = await self._plan(each)
            further = [replace(part, log_from=before_this[part.at], older="none") for part in parts if part.until > before_this[part.at]]
            if further:
                await self._replays[each.processor].run(further)
            untils = {part.at: part for part in parts}
            self._parts[each.processor] = [
                replace(part, until=untils[part.at].until, log_end=untils[part.at].log_end) for part in self._parts[each.processor]
            ]

    async def _plan(self, each: Derived) -> list[Part]:
        parts = await self._stored_parts(each, each.finished_by or each.topic)
        self._finished[each.processor] = {part.partition: part.until for part in parts}
        if not each.finished_by:
            return parts
        # Only now: what the processor has stored of its own topic stands here by now.
        ends = self._log.end_offsets([each.topic])
        to_the_end = {at: end - 1 for at, end in ends.items()}
        return plan(each.processor, self._log.begin_offsets([each.topic]), ends, to_the_end, older=each.older)

    async def _stored_parts(self, each: Derived, topic: str) -> list[Part]:
        ends = self._log.end_offsets([topic])
        stored = await TableWriter(self._history, each.processor, self._clock).watermarks(ends.keys())
        # Asked again: what was stored meanwhile may lie beyond the ends of before.
        return plan(each.processor, self._log.begin_offsets([topic]), self._log.end_offsets([topic]), stored, older=each.older)

    def _differences(self, copy: FreshCopy) -> Differences:
        tables = []
        for each in derived():
            for table in (*each.tables, *copy.fed(each.tables)):
                tables.append(self._compare_table(copy, each, table))
                self._say(f"{table}: {tables[-1].count or 'no'} differences in {tables[-1].expected} rows")
        return Differences(tables=tuple(tables), sources=tuple(self._sources()), left=LEFT)

    def _compare_table(self, copy: FreshCopy, each: Derived, table: str) -> TableDifferences:
        shape = shape_of(copy.tables, table)
        until = self._finished[each.processor]
        ends = self._log.end_offsets([each.finished_by or each.topic])
        unfinished = any(end > until[at.partition] for at, end in ends.items())
        still = open_rows(shape, until, self._history.database, unfinished=unfinished)
        if still is None:
            return TableDifferences(table=table, skipped=f"{each.processor} has records to process; compare again when it has")
        by_run = table not in each.tables and shape.has("workspace", "run_id", "version")
        # What is read to its end may be ahead of the live processor.
        made_open = still if each.finished_by else "0"
        return compare_table(self._history, copy.tables, shape, open_rows=still, made_open=made_open, by_run=by_run)

    def _sources(self) -> list[str]:
        return [line for each in derived() for line in words_of(each.processor, self._parts[each.processor])]

    def _await_rest(self, running: Running, wait_seconds: float) -> None:
        await_rest(running, [group_of(each.processor) for each in derived()], wait_seconds, self._say)
