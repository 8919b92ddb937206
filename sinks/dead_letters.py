"""Reading dead letters from history. The three tables are read with FINAL: they are small, and the letters' bytes are read one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from runherald.clock import from_micros, to_micros
from runherald.dead_letters import Letter
from runherald.errors import InvalidInput
from runherald.letters_api import LetterCount, LetterPage, LetterReplay, LetterSelection, LetterView, ProcessorStop
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import Rows, select

MAX_PAGE = 1_000
MAX_IDS = 200  # parameters travel in the URL

_STATE = "multiIf(following.times > 0, 'failed_again', replays.times > 0, 'replayed', 'open')"
_FROM = (
    " FROM dead_letters AS letter FINAL"
    " LEFT JOIN (SELECT letter_id, count() AS times FROM dead_letter_replays FINAL GROUP BY letter_id) AS replays"
    " ON replays.letter_id = letter.letter_id"
    " LEFT JOIN (SELECT previous_id, count() AS times FROM dead_letters FINAL WHERE previous_id != '' GROUP BY previous_id) AS following"
    " ON following.previous_id = letter.letter_id"
)
_VIEW = (
    "letter.letter_id, letter.processor, letter.error, letter.reason, letter.topic, letter.partition, letter.offset,"
    f" toUnixTimestamp64Micro(letter.dead_time), {_STATE} AS state, replays.times, letter.run_id, letter.event_type"
)
_WHOLE = (
    "SELECT letter_id, processor, error, reason, topic, partition, offset, timestamp, has_key, hex(key), hex(value), header_names,"
    " header_values, first_id, previous_id, replays, toUnixTimestamp64Micro(dead_time) FROM dead_letters FINAL"
    " WHERE letter_id IN {ids:Array(String)}"
)
_REPLAYS = (
    "SELECT replay_id, toUnixTimestamp64Micro(time), topic, partition, offset, user, late FROM dead_letter_replays FINAL"
    " WHERE letter_id = {letter:String} ORDER BY time"
)
_STOPS = (
    "SELECT processor, kind, toUnixTimestamp64Micro(time), topic, partition, offset, reason FROM dead_letter_stops FINAL"
    " ORDER BY time DESC LIMIT 1 BY processor, kind"
)


class DeadLetterReader:
    """Reads dead letters. Safe between threads; every call blocks.

    Each call raises:
        Unreachable: the database does not answer now.
    """

    def __init__(self, db: HistoryDatabase) -> None:
        self._db = db

    def page(self, wanted: LetterSelection, *, cursor: str = "", limit: int = 100) -> LetterPage:
        """Return a page of letters, newest first; `cursor` is the `next` of the page before.

        Raises:
            InvalidInput: the cursor, the limit or the selection cannot be used.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"limit: {limit} is not between 1 and {MAX_PAGE}")
        conditions, parameters = _conditions(wanted)
        if cursor:
            conditions.append(
                "(letter.dead_time, letter.letter_id) < (fromUnixTimestamp64Micro({before:Int64}, 'UTC'), {before_id:String})"
            )
            parameters["before"], parameters["before_id"] = _parse_cursor(cursor)
        letters = self._views(conditions, parameters, "letter.dead_time DESC, letter.letter_id DESC", limit + 1)
        more = len(letters) > limit
        return LetterPage(letters=letters[:limit], next=_cursor(letters[limit - 1]) if more else "")

    def oldest(self, wanted: LetterSelection, limit: int) -> list[LetterView]:
        """Return letters, oldest first, in the order in which their records stand.

        Raises:
            InvalidInput: the limit or the selection cannot be used.
        """
        if not 1 <= limit <= MAX_PAGE + 1:
            raise InvalidInput(f"limit: {limit} is not between 1 and {MAX_PAGE}")
        conditions, parameters = _conditions(wanted)
        order = "letter.timestamp, letter.topic, letter.partition, letter.offset, letter.dead_time"
        return self._views(conditions, parameters, order, limit)

    def view(self, letter_id: str) -> LetterView | None:
        """Return a letter as lists show it, or None."""
        found = self.oldest(LetterSelection(ids=[letter_id]), 1)
        return found[0] if found else None

    def whole(self, letter_ids: Sequence[str]) -> dict[str, Letter]:
        """Return letters with their bytes, by id."""
        return {row[0]: _letter(row) for row in self._select(_WHOLE, {"ids": list(letter_ids)})}

    def replays(self, letter_id: str) -> list[LetterReplay]:
        """Return when and where a letter's event was appended again."""
        rows = self._select(_REPLAYS, {"letter": letter_id})
        return [
            LetterReplay(replay_id=replay_id, time=from_micros(time), topic=topic, partition=partition, offset=offset, user=user, late=late)
            for replay_id, time, topic, partition, offset, user, late in rows
        ]

    def following(self, letter_id: str) -> list[str]:
        """Return the letters that replays of a letter became."""
        query = "SELECT letter_id FROM dead_letters FINAL WHERE previous_id = {letter:String} ORDER BY dead_time, letter_id"
        return [row[0] for row in self._select(query, {"letter": letter_id})]

    def counts(self) -> list[LetterCount]:
        """Return how many letters there are of each processor and kind of reason, by state."""
        query = f"SELECT letter.processor, letter.error, {_STATE} AS state, count(){_FROM} GROUP BY ALL ORDER BY ALL"
        found: dict[tuple[str, str], dict[str, int]] = {}
        for processor, error, state, count in self._select(query):
            found.setdefault((processor, error), {})[state] = count
        return [LetterCount(processor=processor, error=error, **counts) for (processor, error), counts in found.items()]

    def stops(self) -> list[ProcessorStop]:
        """Return the last stop of each processor that ever stopped, and whether it was let go on since."""
        last: dict[str, dict[str, tuple[Any, ...]]] = {}
        for row in self._select(_STOPS):
            last.setdefault(row[0], {})[row[1]] = row
        stops = []
        for kinds in last.values():
            if "stopped" in kinds:
                processor, _, time, topic, partition, offset, reason = kinds["stopped"]
                allowed = "went_on" in kinds and kinds["went_on"][2] >= time
                stops.append(
                    ProcessorStop(
                        processor=processor,
                        reason=reason,
                        topic=topic,
                        partition=partition,
                        offset=offset,
                        time=from_micros(time),
                        allowed=allowed,
                    )
                )
        return sorted(stops, key=lambda stop: stop.processor)

    def _views(self, conditions: Sequence[str], parameters: Mapping[str, Any], order: str, limit: int) -> list[LetterView]:
        query = f"SELECT {_VIEW}{_FROM} WHERE {' AND '.join(conditions) or '1'} ORDER BY {order} LIMIT {{rows:UInt32}}"
        return [_view(row) for row in self._select(query, {**parameters, "rows": limit})]

    def _select(self, query: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        return select(self._db, query, parameters)


def selection(texts: Mapping[str, str]) -> LetterSelection:
    """Return the selection that texts of parameters name.

    Raises:
        InvalidInput: one cannot be used; names it.
    """
    given = {name: texts.get(name, "") for name in ("processor", "error", "topic")}
    moments = {name: _moment(name, texts.get(name, "")) for name in ("since", "until")}
    state = texts.get("state", "") or "open"
    try:
        return msgspec.convert({**given, **moments, "state": state}, LetterSelection)
    except msgspec.ValidationError:
        raise InvalidInput("state: is none of open, replayed, failed_again, all") from None


def _conditions(wanted: LetterSelection) -> tuple[list[str], dict[str, Any]]:
    if wanted.ids:
        if len(wanted.ids) > MAX_IDS:
            raise InvalidInput(f"ids: {len(wanted.ids)} letters are named; at most {MAX_IDS} at once, name the rest in another call")
        return ["letter.letter_id IN {ids:Array(String)}"], {"ids": list(wanted.ids)}
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for name, value in (("processor", wanted.processor), ("error", wanted.error), ("topic", wanted.topic)):
        if value:
            conditions.append(f"letter.{name} = {{{name}:String}}")
            parameters[name] = value
    if wanted.state != "all":
        conditions.append("state = {state:String}")
        parameters["state"] = wanted.state
    for name, sign, moment in (("since", ">=", wanted.since), ("until", "<", wanted.until)):
        if moment is not None:
            conditions.append(f"toUnixTimestamp64Micro(letter.dead_time) {sign} {{{name}:Int64}}")
            parameters[name] = to_micros(_zoned(name, moment))
    return conditions, parameters


def _moment(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        return _zoned(name, datetime.fromisoformat(text))
    except ValueError:
        raise InvalidInput(f"{name}: is not a time of RFC 3339, such as 2026-11-21T12:00:00Z") from None


def _zoned(name: str, moment: datetime) -> datetime:
    if not 1970 <= moment.year < 2100:
        raise InvalidInput(f"{name}: is not between 1970 and 2100")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _view(row: Sequence[Any]) -> LetterView:
    letter_id, processor, error, reason, topic, partition, offset, dead, state, replays, run_id, event_type = row
    return LetterView(
        letter_id=letter_id,
        processor=processor,
        error=error,
        reason=reason,
        topic=topic,
        partition=partition,
        offset=offset,
        dead_time=from_micros(dead),
        state=state,
        replays=replays,
        run_id=run_id,
        event_type=event_type,
    )


def _letter(row: Sequence[Any]) -> Letter:
    letter_id, processor, error, reason, topic, partition, offset, timestamp, has_key, key, value, names, values, *rest = row
    first_id, previous_id, replays, dead = rest
    return Letter(
        letter_id=letter_id,
        processor=processor,
        error=error,
        reason=reason,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        key=bytes.fromhex(key) if has_key else None,
        value=bytes.fromhex(value),
        headers=tuple((name, bytes.fromhex(text)) for name, text in zip(names, values, strict=True)),
        first_id=first_id,
        previous_id=previous_id,
        replays=replays,
        dead_time=from_micros(dead),
    )


def _cursor(letter: LetterView) -> str:
    return f"{to_micros(letter.dead_time)}-{letter.letter_id}"


def _parse_cursor(cursor: str) -> tuple[int, str]:
    micros, dash, letter_id = cursor.partition("-")
    if not dash or not micros.isdecimal() or len(micros) > 18:
        raise InvalidInput("cursor: is none that this server gave")
    return int(micros), letter_id
