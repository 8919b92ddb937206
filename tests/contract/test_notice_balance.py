"""The balance of notices, on a real database: what is decided and what the mailer knows, rows that came twice included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from runherald.alerts.events import DecidedNotice
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.sinks.notice_balance import NoticeBalanceReader

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def history(history_database: HistoryDatabase) -> HistoryDatabase:
    migrate(history_database)
    return history_database


def decide(db: HistoryDatabase, decision: str, *notices: str, version: int = 1) -> None:
    payload = msgspec.json.encode(
        [DecidedNotice(notice_id=notice, recipient="a@example.org", reason="who", suppressed=notice.endswith("s")) for notice in notices]
    )
    db.client().insert("alert_log", [["w", decision, payload.decode(), version]], ["workspace", "decision_id", "payload", "version"])


def know(db: HistoryDatabase, notice: str, state: str, *, version: int = 1, decided: datetime = NOW) -> None:
    names = ["workspace", "notice_id", "state", "decided_time", "version"]
    db.client().insert("notice_log", [["w", notice, state, decided, version]], names)


def test_an_empty_history_is_balanced(history: HistoryDatabase) -> None:
    notices = NoticeBalanceReader(history)()
    assert notices.states == {}
    assert (notices.balance.decided, notices.balance.difference, notices.balance.oldest_pending_time) == (0, 0, None)


def test_every_decided_notice_is_one_that_the_mailer_knows(history: HistoryDatabase) -> None:
    decide(history, "1", "a", "b", "cs")
    decide(history, "2", "d", "e")
    decide(history, "2", "d", "e", version=2)  # stored twice: one
    decide(history, "3")  # nobody was told
    know(history, "a", "pending")
    know(history, "a", "accepted", version=2)
    know(history, "b", "refused")
    know(history, "cs", "suppressed")
    know(history, "d", "pending", decided=NOW + timedelta(seconds=1))
    know(history, "e", "pending")
    notices = NoticeBalanceReader(history)()
    assert notices.states == {"accepted": 1, "refused": 1, "suppressed": 1, "pending": 2}
    balance = notices.balance
    assert balance.decided == sum(notices.states.values()) == 5
    assert (balance.missing, balance.undecided, balance.under_way, balance.difference) == (0, 0, 0, 0)
    assert balance.oldest_pending_time == NOW


@pytest.mark.parametrize(("seconds", "under_way", "missing", "undecided"), [(3_600.0, 3, 0, 0), (-3_600.0, 0, 2, 1)])
def test_what_one_side_alone_knows_is_under_way_first_and_then_missing(
    history: HistoryDatabase, seconds: float, under_way: int, missing: int, undecided: int
) -> None:
    decide(history, "1", "a", "lost", "losts")
    know(history, "a", "accepted")
    know(history, "from nowhere", "accepted")
    balance = NoticeBalanceReader(history, under_way_seconds=seconds)().balance
    assert (balance.decided, balance.under_way) == (3, under_way)
    assert (balance.missing, balance.undecided, balance.difference) == (missing, undecided, missing + undecided)


def test_one_lost_and_one_from_nowhere_do_not_make_up_for_each_other(history: HistoryDatabase) -> None:
    decide(history, "1", "lost")
    know(history, "from nowhere", "accepted")
    assert NoticeBalanceReader(history, under_way_seconds=-3_600)().balance.difference == 2
