"""The books after a drill: what producers said that they logged, held against what history, the notices and the mails say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from msgspec import Struct, field

from runherald.deploy.mail_catcher import CaughtMail, caught_mails
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import set_aside
from runherald.streams.log import Log
from runherald.streams.rebuild.rebuild import compare
from tests.drills.ledger import Said

_EVENTS = """
SELECT
    run_id,
    countIf(operation = 'Created'),
    countIf(operation = 'Updated' AND JSONHas(payload, 'tags')),
    countIf(status IN ('Completed', 'Failed', 'Canceled'))
FROM run_events FINAL WHERE NOT startsWith(producer, 'runherald.') GROUP BY run_id
"""
_POINTS = """
SELECT run_id, count(), uniqExact(step), max(step) FROM metric_points AS points FINAL
INNER JOIN (SELECT DISTINCT run_id, series_id FROM metric_series) AS series USING series_id
GROUP BY run_id
"""
_STATES = "SELECT run_id, status, length(tags), parent_run_id FROM run_state FINAL"
_NOTICES = "SELECT state, count() FROM notice_log FINAL GROUP BY state"
_ACCEPTED = "SELECT message_id FROM notice_log FINAL WHERE state = 'accepted'"
_REFUSED = "SELECT notice_id FROM notice_log FINAL WHERE state = 'refused'"
# What the built-in rules ask for, by the transitions themselves.
_UNDECIDED = """
SELECT concat(run_id, '#', toString(revision)) AS subject FROM transitions_log FINAL
WHERE accepted
    AND (
        status IN ('Failed', 'NotResponding')
        OR status = 'Completed' AND run_id IN (SELECT run_id FROM run_state FINAL WHERE parent_run_id = '')
    )
    AND subject NOT IN (SELECT subject FROM alert_log)
"""
_AGAIN = """
SELECT
    (SELECT count() FROM run_events) - (SELECT count() FROM run_events FINAL),
    (SELECT count() FROM metric_points) - (SELECT count() FROM metric_points FINAL)
"""
# A view makes `run_index`, which lists are read from, of what is stored in `run_state`: whoever is killed between the two has one of them.
_UNLISTED = "SELECT run_id FROM run_state FINAL WHERE (run_id, version) NOT IN (SELECT run_id, version FROM run_index FINAL)"
_LETTERS = "SELECT count() FROM dead_letters FINAL"


class Books(Struct, kw_only=True):
    """What a drill came to.

    Attributes:
        calls: how many calls returned to the producers.
        lost: what history does not have of it, in words.
        doubled: what it has twice.
        wrong: what is otherwise not as it must be.
        set_aside: how many parts of which tables of the embedded engine a full disk had damaged; their rows are to be there all the same.
        told: what is lost of runs whose process had said that a full disk kept it from the journal, and was killed then.
        again: rows that came twice and are one when read.
        notices: how many ended in each state.
        mails: how many were taken by the mail server.
        mails_again: how many of them were the same message.
    """

    runs: int
    calls: int
    points: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    set_aside: Mapping[str, int] = {}
    told: list[str] = field(default_factory=list)
    again: int = 0
    notices: Mapping[str, int] = {}
    mails: int = 0
    mails_again: int = 0

    @property
    def balance(self) -> bool:
        """Whether nothing is lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)


def check_books(
    said: Mapping[str, Said],
    history: HistoryDatabase,
    mails: Path,
    *,
    killed_producers: int,
    mails_again_allowed: int,
    off_disk: Collection[str] = (),
) -> Books:
    """Return the books: what is said held against what is stored.

    Args:
        said: what producers said, by run.
        history: after everything has come to rest.
        mails: the folder of the mail catcher.
        killed_producers: how many producers were killed: each may have had one more call return than it said.
        mails_again_allowed: how many mails may have been under way when a mailer was killed, or when the server took one without saying so.
    """
    client = history.client()
    events = {row[0]: row[1:] for row in client.query(_EVENTS).result_rows}
    points = {row[0]: row[1:] for row in client.query(_POINTS).result_rows}
    states = {row[0]: row[1:] for row in client.query(_STATES).result_rows}
    books = Books(runs=len(said), calls=sum(one.calls for one in said.values()), points=sum(one.points for one in said.values()))
    spare = killed_producers
    for run_id, one in said.items():
        if run_id not in states:
            books.lost.append(f"run {run_id}")
            continue
        created, updated, ends = events.get(run_id, (0, 0, 0))
        count, steps, last = points.get(run_id, (0, 0, -1))
        status, tags, parent = states[run_id]
        lost = books.told if run_id in off_disk and not one.end else books.lost
        _compare(books, lost, f"{run_id} created", created, 1)
        spare -= _compare(books, lost, f"{run_id} tags", tags, one.tags, spare=0 if one.end else spare)
        _compare(books, lost, f"{run_id} tag events", updated, tags)
        spare -= _compare(books, lost, f"{run_id} points", count, one.points, spare=0 if one.end else spare)
        if steps != count or last != count - 1:
            books.doubled.append(f"{run_id} has {count} points of {steps} steps up to {last}")
        if one.end:
            _compare(books, lost, f"{run_id} ends", ends, 1)
            if status != one.end:
                books.wrong.append(f"{run_id} is {status}, and said {one.end}")
        elif ends:
            spare -= _compare(books, lost, f"{run_id} ends", ends, 0, spare=spare)
        if parent != one.parent:
            books.wrong.append(f"{run_id} has the parent {parent!r}, and said {one.parent!r}")
    unsaid = states.keys() - said.keys()
    if unsaid and len(unsaid) > spare:
        books.wrong.append(f"{len(unsaid)} runs are there that nobody began, such as {min(unsaid)}")
    books.lost += [f"run {run_id} in lists" for (run_id,) in client.query(_UNLISTED).result_rows]
    _check_mails(books, history, mails, mails_again_allowed)
    books.set_aside = set_aside(history)
    books.again = sum(client.query(_AGAIN).result_rows[0])
    [(letters,)] = client.query(_LETTERS).result_rows
    if letters:
        books.wrong.append(f"{letters} dead letters of good events")
    return books


def _compare(books: Books, lost: list[str], what: str, found: int, said: int, *, spare: int = 0) -> int:
    """Note a difference, and return how many more were found than said, when that may be."""
    if found < said:
        lost.append(f"{what}: {found} of {said}")
    elif found > said + min(spare, 1):
        books.doubled.append(f"{what}: {found} instead of {said}")
    return max(found - said, 0)


def _check_mails(books: Books, history: HistoryDatabase, folder: Path, again_allowed: int) -> None:
    client = history.client()
    books.notices = {str(state): int(count) for state, count in client.query(_NOTICES).result_rows}
    books.wrong += [f"{count} notices are still {state}" for state, count in books.notices.items() if state == "pending"]
    undecided = [row[0] for row in client.query(_UNDECIDED).result_rows]
    books.lost += [f"the decision about {subject}" for subject in undecided]
    accepted = {row[0] for row in client.query(_ACCEPTED).result_rows}
    refused = {row[0] for row in client.query(_REFUSED).result_rows}
    taken = Counter(mail.message_id for mail in caught_mails(folder) if not _is_about_the_pipeline(mail))
    books.mails, books.mails_again = sum(taken.values()), sum(taken.values()) - len(taken)
    books.lost += [f"the mail {message_id}, which history says was accepted" for message_id in accepted - taken.keys()]
    unknown = taken.keys() - accepted
    # Taken without a word, and refused when it came again: nobody could know.
    silent = {message_id for message_id in unknown if message_id.strip("<>").partition("@")[0] in refused}
    if extra := unknown - silent:
        books.wrong.append(f"{len(extra)} mails that history does not know as accepted, such as {min(extra)}")
    if books.mails_again + len(silent) > again_allowed:
        books.doubled.append(f"{books.mails_again + len(silent)} mails came again, and at most {again_allowed} could be under way")


def _is_about_the_pipeline(mail: CaughtMail) -> bool:
    """Say whether the server wrote it about its own lag: that is no notice of a run."""
    return b"\nX-Runherald-Incident:" in mail.path.read_bytes()


def check_fold(books: Books, log: Log, history: HistoryDatabase) -> None:
    """Note where history is not what the log makes of it, by the rebuild that users have."""
    found = compare(log, history)
    for table in found.tables:
        books.wrong += [f"{one.table} {one.key}: {one.kind} {one.column}, {one.stored!r} not {one.expected!r}" for one in table.examples]
        if table.count:
            books.wrong.append(f"{table.count} rows of {table.table} are not what the log makes of them")
