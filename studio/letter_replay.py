"""Replays of dead letters: each event goes back to its topic, once for each command, and its letter knows of it.

Order of effects: the events are appended, then the marks that they were. A crash between the two leaves letters open whose events are
there; replayed once more they change nothing, because history knows events by their ids. Before anything is chosen, all marks that stand
in the log are awaited, so that a command that is repeated finds what it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from uuid import uuid4

from msgspec.structs import replace

from runherald.api import latest
from runherald.clock import Clock
from runherald.dead_letters import Letter, Replayed, WentOn, mark_record, replay_record
from runherald.errors import InvalidEvent, InvalidInput
from runherald.letters_api import GoOnRequest, LetterView, ReplayAnswer, ReplayItem, ReplayRequest, Verdict
from runherald.records import Outgoing, Position
from runherald.sinks.dead_letters import MAX_PAGE, DeadLetterReader
from runherald.sinks.queries import HistoryReader
from runherald.streams.letter_trial import LetterTrial
from runherald.streams.log import Log, check_size
from runherald.studio.blocking import Blocking
from runherald.studio.errors import NotFound, NotYet
from runherald.studio.positions import PROCESSORS, Positions
from runherald.topics import DEAD_LETTERS, EVENTS, TOPICS
from runherald.wire import from_record

logger = logging.getLogger(__name__)

AT_ONCE = 50
"""Letters that are read, tried and appended together: each may have a megabyte."""
MAX_ALLOW = 1_000_000_000


class LetterReplays:
    """Replays dead letters, one command at a time. Belongs to one event loop."""

    def __init__(
        self,
        log: Log,
        letters: DeadLetterReader,
        reader: HistoryReader,
        trial: LetterTrial,
        *,
        positions: Positions,
        blocking: Blocking,
        clock: Clock,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._log = log
        self._letters = letters
        self._reader = reader
        self._trial = trial
        self._positions = positions
        self._blocking = blocking
        self._clock = clock
        self._new_id = new_id
        self._turn = asyncio.Lock()

    async def replay(self, asked: ReplayRequest) -> ReplayAnswer:
        """Say what a replay would do, and do it where that is confirmed.

        Raises:
            InvalidInput: the selection or the limit cannot be used.
            NotFound: there is no letter of an id.
            NotYet: what stands in the log of letters is not stored yet.
        """
        if not 1 <= asked.limit <= MAX_PAGE:
            raise InvalidInput(f"limit: {asked.limit} is not between 1 and {MAX_PAGE}")
        async with self._turn:
            await self._catch_up()
            views = await self._blocking(self._letters.oldest, asked.selection, asked.limit + 1)
            missing = set(asked.selection.ids) - {view.letter_id for view in views}
            if missing and len(views) <= asked.limit:
                raise NotFound(f"letter {min(missing)[:80]}: there is none of that id")
            answer = ReplayAnswer(replay_id=self._new_id(), confirmed=asked.confirmed, items=[], more=len(views) > asked.limit)
            for chunk in _chunks(views[: asked.limit]):
                items, letters = await self._judge(chunk, asked)
                sent, positions = await self._send(items, letters, asked, answer.replay_id) if asked.confirmed else (items, [])
                answer = replace(answer, items=[*answer.items, *sent], positions=latest([*answer.positions, *positions]))
            if asked.confirmed:
                count = sum(item.sent for item in answer.items)
                logger.info("event=letters_replayed replay=%s sent=%d of=%d", answer.replay_id, count, len(answer.items))
            return answer

    async def let_go_on(self, asked: GoOnRequest) -> list[Position]:
        """Let a processor go on whose dead letters were too many; returns where that stands.

        Raises:
            InvalidInput: the processor or the number cannot be used.
        """
        if not asked.processor or len(asked.processor) > 100:
            raise InvalidInput("processor: is not the name of a processor")
        if not 0 <= asked.allow <= MAX_ALLOW:
            raise InvalidInput(f"allow: {asked.allow} is not between 0 and {MAX_ALLOW}")
        mark = WentOn(processor=asked.processor, time=self._clock(), user=asked.user[:256], allow=asked.allow)
        positions = await self._blocking(self._log.append, [mark_record(mark)])
        logger.info("event=processor_let_go_on processor=%r allow=%d", asked.processor, asked.allow)
        await self._settle(positions)
        return positions

    async def _catch_up(self) -> None:
        ends = await self._blocking(self._log.end_offsets, [DEAD_LETTERS])
        begins = await self._blocking(self._log.begin_offsets, [DEAD_LETTERS])
        await self._positions.wait([Position(at.topic, at.partition, end - 1) for at, end in ends.items() if end > begins[at]])

    async def _settle(self, positions: Sequence[Position]) -> None:
        # What was appended stands, whether or not it can be read yet.
        with contextlib.suppress(NotYet):
            await self._positions.wait(positions)

    async def _judge(self, views: Sequence[LetterView], asked: ReplayRequest) -> tuple[list[ReplayItem], dict[str, Letter]]:
        letters = await self._blocking(self._letters.whole, [view.letter_id for view in views])
        refusals = await self._trial.refusals([letters[view.letter_id] for view in views if _was_replayed(view, asked) is None])
        return [await self._item(view, letters[view.letter_id], refusals.get(view.letter_id), asked) for view in views], letters

    async def _item(self, view: LetterView, letter: Letter, refusal: str | None, asked: ReplayRequest) -> ReplayItem:
        verdict, reason = await self._verdict(view, letter, refusal, asked)
        return ReplayItem(letter=view, verdict=verdict, reason=reason)

    async def _verdict(self, view: LetterView, letter: Letter, refusal: str | None, asked: ReplayRequest) -> tuple[Verdict, str]:
        before = _was_replayed(view, asked)
        if before is not None:
            return "replayed", before
        fault = _fault(letter)
        if fault is not None:
            return "impossible", fault
        if refusal is not None:
            return "fails", refusal
        if letter.error.startswith("table ") or not self._trial.tries(letter.processor):
            return "uncertain", "only storing it shows whether it is taken now"
        gone_on = await self._blocking(self._gone_on, letter)
        return ("late", gone_on) if gone_on else ("good", "")

    def _gone_on(self, letter: Letter) -> str:
        """Return why an event would change nothing of its run, or an empty text; blocks."""
        if letter.topic != EVENTS or letter.processor != "history":
            return ""
        try:
            event = from_record(Outgoing(letter.topic, letter.key, letter.value, letter.headers))
        except InvalidEvent:
            return ""
        state = self._reader.state(event.run_id)
        last = state.producers.get(event.producer, -1) if state is not None else -1
        if event.sequence > last:
            return ""
        return (
            f"its producer has gone on to event {last}, so event {event.sequence} is kept and changes nothing of the run; --late applies it"
        )

    async def _send(
        self, items: Sequence[ReplayItem], letters: dict[str, Letter], asked: ReplayRequest, replay_id: str
    ) -> tuple[list[ReplayItem], list[Position]]:
        chosen = [item for item in items if _is_sent(item, asked)]
        if not chosen:
            return list(items), []
        lates = [item.verdict == "late" and asked.late for item in chosen]
        records = [replay_record(letters[item.letter.letter_id], late=late) for item, late in zip(chosen, lates, strict=True)]
        places = await self._blocking(self._log.append, records)
        now = self._clock()
        marks = [
            mark_record(
                Replayed(
                    letter_id=item.letter.letter_id,
                    replay_id=replay_id,
                    time=now,
                    topic=place.topic,
                    partition=place.partition,
                    offset=place.offset,
                    user=asked.user[:256],
                    late=late,
                )
            )
            for item, place, late in zip(chosen, places, lates, strict=True)
        ]
        await self._settle(await self._blocking(self._log.append, marks))
        at = {item.letter.letter_id: place for item, place in zip(chosen, places, strict=True)}
        done = [replace(item, sent=True, position=at[item.letter.letter_id]) if item.letter.letter_id in at else item for item in items]
        return done, [place for place in places if place.topic in PROCESSORS]


def _was_replayed(view: LetterView, asked: ReplayRequest) -> str | None:
    """Return what became of a letter's last replay, or None where there is nothing against one."""
    if view.state == "open" or asked.again:
        return None
    return "it failed again, as a letter of its own" if view.state == "failed_again" else "it was replayed before"


def _is_sent(item: ReplayItem, asked: ReplayRequest) -> bool:
    match item.verdict:
        case "good" | "uncertain":
            return True
        case "late":
            return asked.late or asked.force
        case "fails":
            return asked.force
        case _:
            return False


def _fault(letter: Letter) -> str | None:
    """Return why a letter cannot be replayed at all, or None."""
    try:
        check_size(replay_record(letter), TOPICS[letter.topic].max_message_bytes if letter.topic in TOPICS else 0)
    except InvalidInput as error:
        return str(error)
    return None


def _chunks(views: Sequence[LetterView]) -> Iterable[Sequence[LetterView]]:
    for start in range(0, len(views), AT_ONCE):
        yield views[start : start + AT_ONCE]
