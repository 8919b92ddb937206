"""The balance of notices: whether each that was decided is one that the mailer knows.

Both tables are copies of the alerts topic, each stored by another processor: `alert_log` by the one that decides, `notice_log` by the one
that sends. Counts and a sum over the ids say whether they are the same; only where they are not are the ids compared, since that
needs all of them in memory.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from runherald.api import NoticeBalance
from runherald.clock import EPOCH
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import Rows, select

UNDER_WAY_SECONDS = 60.0
"""How long a notice may be in one table alone: the two processors store at different moments."""

_DECIDED_IDS = "JSONExtractString(arrayJoin(JSONExtractArrayRaw(payload)), 'noticeId')"
_DECIDED = f"SELECT count(), groupBitXor(cityHash64(id)) FROM (SELECT {_DECIDED_IDS} AS id FROM alert_log FINAL)"  # noqa: S608
_KNOWN = "SELECT state, count(), groupBitXor(cityHash64(notice_id)), min(decided_time) FROM notice_log FINAL GROUP BY state ORDER BY state"
_OLD = "_ingested_at < now64(6) - toIntervalMillisecond({millis:Int64})"
_UNKNOWN = (
    f"SELECT countIf(old), countIf(NOT old) FROM (SELECT {_DECIDED_IDS} AS id, {_OLD} AS old FROM alert_log FINAL)"  # noqa: S608
    " WHERE id NOT IN (SELECT notice_id FROM notice_log)"
)
_UNDECIDED = (
    f"SELECT countIf({_OLD}), countIf(NOT ({_OLD})) FROM notice_log FINAL WHERE notice_id NOT IN (SELECT {_DECIDED_IDS} FROM alert_log)"  # noqa: S608
)


class Notices(Struct, frozen=True):
    """How many notices are in each state, and whether none is lost."""

    states: dict[str, int]
    balance: NoticeBalance


class NoticeBalanceReader:
    """Reads the balance of notices. Safe between threads; blocks.

    Each call raises:
        Unreachable: the database does not answer now.
    """

    def __init__(self, db: HistoryDatabase, *, under_way_seconds: float = UNDER_WAY_SECONDS) -> None:
        self._db = db
        self._millis = round(under_way_seconds * 1000)

    def __call__(self) -> Notices:
        """Return the balance now."""
        ((decided, decided_sum),) = self._select(_DECIDED)
        known = self._select(_KNOWN)
        known_sum = 0
        for _, _, part, _ in known:
            known_sum ^= part
        states = {state: count for state, count, _, _ in known}
        missing = undecided = under_way = 0
        if (decided, decided_sum) != (sum(states.values()), known_sum):
            ((missing, early),) = self._select(_UNKNOWN, millis=self._millis)
            ((undecided, late),) = self._select(_UNDECIDED, millis=self._millis)
            under_way = early + late
        pending = next((oldest for state, _, _, oldest in known if state == "pending"), EPOCH)
        return Notices(
            states=states,
            balance=NoticeBalance(
                decided=decided,
                under_way=under_way,
                missing=missing,
                undecided=undecided,
                difference=missing + undecided,
                oldest_pending_time=None if pending == EPOCH else pending,
            ),
        )

    def _select(self, query: str, **parameters: Any) -> Rows:
        return select(self._db, query, parameters)
