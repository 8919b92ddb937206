"""Notices in history: rows of `notice_log`, and those that are pending, read back after a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

import msgspec
import numpy as np

from runherald.alerts.outbox import Notice
from runherald.clock import EPOCH
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry
from runherald.sinks.rows import TableRows, table_rows
from runherald.sinks.select import select
from runherald.topics import ALERTS

TABLE = "notice_log"
_COLUMNS = (
    *("workspace", "notice_id", "decision_id", "run_id", "rule", "severity", "recipient", "subject", "state", "reason", "attempts"),
    *("next_attempt_time", "event_time", "decided_time", "done_time", "message_id", "smtp_reply", "payload", "version"),
    *("_topic", "_partition", "_offset"),
)
_IDS_A_QUERY = 500
_NOTICE = msgspec.json.Decoder(Notice)


class NoticeTable:
    """Reads `notice_log`. While the database is away, each call waits for it."""

    def __init__(self, db: HistoryDatabase, retry: Retry) -> None:
        self._db = db
        self._retry = retry

    async def pending(self, partitions: Collection[int], most: int) -> list[Notice]:
        """Return the pending notices of some partitions of the alerts topic, as far as they are stored, at most so many: the first due."""
        return await self._retry.until_done("pending notices", partial(self._pending, partitions, most))

    async def load(self, notice_ids: Collection[str]) -> list[Notice]:
        """Return those of some notices that are stored and pending."""
        return await self._retry.until_done("notices by id", partial(self._load, sorted(notice_ids)))

    async def known(self, notice_ids: Collection[str]) -> set[str]:
        """Return those of the ids that are stored, pending or done."""
        return await self._retry.until_done("notices", partial(self._known, sorted(notice_ids)))

    def _pending(self, partitions: Collection[int], most: int) -> list[Notice]:
        query = (
            f"SELECT payload FROM {TABLE} FINAL WHERE state = 'pending' AND _partition IN {{partitions:Array(UInt32)}}"  # noqa: S608
            " ORDER BY next_attempt_time, notice_id LIMIT {most:UInt32}"
        )
        return [_NOTICE.decode(payload) for (payload,) in select(self._db, query, {"partitions": sorted(partitions), "most": most})]

    def _load(self, notice_ids: list[str]) -> list[Notice]:
        query = f"SELECT payload FROM {TABLE} FINAL WHERE state = 'pending' AND notice_id IN {{ids:Array(String)}}"  # noqa: S608
        return [_NOTICE.decode(payload) for part in _parts(notice_ids) for (payload,) in select(self._db, query, {"ids": part})]

    def _known(self, notice_ids: list[str]) -> set[str]:
        query = f"SELECT DISTINCT notice_id FROM {TABLE} WHERE notice_id IN {{ids:Array(String)}}"  # noqa: S608
        return {found for part in _parts(notice_ids) for (found,) in select(self._db, query, {"ids": part})}


def notice_rows(notices: Iterable[Notice]) -> TableRows:
    """Return notices as rows, in the order of the log."""
    ordered = sorted(notices, key=lambda notice: notice.version)
    return (
        table_rows(TABLE, _COLUMNS, [_row(notice) for notice in ordered])
        if ordered
        else TableRows(TABLE, {}, np.array([], dtype=np.uint64))
    )


def _row(notice: Notice) -> tuple[Any, ...]:
    pending = notice.state == "pending"
    return (
        notice.workspace,
        notice.notice_id,
        notice.decision_id,
        notice.run_id,
        notice.rule,
        notice.severity,
        notice.recipient,
        notice.subject,
        notice.state,
        notice.reason,
        notice.attempts,
        notice.next_attempt_time if pending else EPOCH,
        notice.event_time,
        notice.decided_time,
        notice.done_time or EPOCH,
        notice.message_id,
        notice.smtp_reply,
        msgspec.json.encode(notice).decode() if pending else "",
        notice.version,
        ALERTS,
        notice.partition,
        notice.version - 1,
    )


def _parts(notice_ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(notice_ids), _IDS_A_QUERY):
        yield notice_ids[start : start + _IDS_A_QUERY]
