"""Whether dead letters would be refused again: asked of the processors themselves, which take the records in and never store them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from runherald.alerts.events import DECODERS
from runherald.dead_letters import Letter
from runherald.errors import InvalidEvent, Unreachable
from runherald.records import Processor, Record
from runherald.topics import DEAD_LETTERS
from runherald.wire import from_record

TRIED = frozenset({"history", "metrics", "logs", "alerting"})
"""Processors that change nothing anywhere before they are flushed."""
READ = frozenset({"mailer"})
"""Processors that would send mail; they refuse what they cannot read, and nothing else."""

_BEYOND = 2**62
"""Above every offset of a log: a processor skips what it has stored."""
_SECONDS = 15.0


class LetterTrial:
    """Tries letters on fresh processors, made by these factories, that are dropped without a flush."""

    def __init__(self, factories: Mapping[str, Callable[[], Processor]]) -> None:
        self._factories = factories

    async def refusals(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Return why letters would be refused, by their ids. Those whose processor is not known here are left out.

        Raises:
            Unreachable: history does not answer.
        """
        found: dict[str, str] = {}
        for name in {letter.processor for letter in letters}:
            own = [letter for letter in letters if letter.processor == name]
            if name in TRIED and name in self._factories:
                found |= await self._try(name, own)
            elif name in READ:
                found |= _read(own)
        return found

    def tries(self, processor: str) -> bool:
        """Say whether letters of a processor can be tried here."""
        return processor in READ or (processor in TRIED and processor in self._factories)

    async def _try(self, name: str, letters: Sequence[Letter]) -> dict[str, str]:
        # Each record by itself, as far as the processor can tell: their own offsets may be those of stored ones.
        records = {_BEYOND + number: _record(letter, _BEYOND + number) for number, letter in enumerate(letters)}
        try:
            processor = await asyncio.to_thread(self._factories[name])
            outgoing = await asyncio.wait_for(processor.process(list(records.values())), _SECONDS)
        except TimeoutError:
            raise Unreachable(f"history: does not answer within {_SECONDS:g} s; try again") from None
        refused: dict[str, str] = {}
        for letter in outgoing:
            if letter.topic == DEAD_LETTERS:
                headers = dict(letter.headers)
                tried = letters[int(headers["rh_origin_offset"]) - _BEYOND]
                refused[tried.letter_id] = headers["rh_reason"].decode(errors="replace")
        return refused


def _read(letters: Sequence[Letter]) -> dict[str, str]:
    refused: dict[str, str] = {}
    for letter in letters:
        try:
            from_record(_record(letter, letter.offset), DECODERS)
        except InvalidEvent as error:
            refused[letter.letter_id] = str(error)
    return refused


def _record(letter: Letter, offset: int) -> Record:
    return Record(letter.topic, letter.partition, offset, letter.timestamp, letter.key, letter.value, letter.headers)
