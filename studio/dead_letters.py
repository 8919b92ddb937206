"""The HTTP calls and pages about dead letters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from runherald.api import Intake
from runherald.clock import from_micros
from runherald.dead_letters import Letter
from runherald.errors import InvalidEvent
from runherald.letters_api import Bytes, GoOnRequest, LetterDetail, LetterSelection, LetterState, ReplayRequest
from runherald.records import Outgoing
from runherald.sinks.dead_letters import MAX_PAGE, selection
from runherald.studio.answers import json_answer
from runherald.studio.blocking import Blocking
from runherald.studio.errors import NotFound
from runherald.studio.letter_replay import LetterReplays
from runherald.studio.parameters import MOMENT, Choice, Number, Text
from runherald.studio.parts import ServerParts
from runherald.studio.positions import Positions
from runherald.studio.writes import read_struct
from runherald.wire import encode_batch, from_record

PAGE_LETTERS = 50

_CURSOR = Text("cursor", "The `next` of the page before.")
_LIMIT = Number("limit", "How many.", least=1, most=MAX_PAGE, default=100)
LETTER_LIST = (
    Text("processor", "Who refused the record."),
    Text("error", "The kind of the reason."),
    Text("topic", "Where the record stands."),
    Choice("state", "What became of the letter.", (*get_args(LetterState), "all")),
    Text("since", "Letters of this time and later.", MOMENT),
    Text("until", "Letters before this time.", MOMENT),
    _CURSOR,
    _LIMIT,
)
"""The parameters of a list of letters; `runherald.sinks.dead_letters.selection` reads all but the last two."""

Render = Callable[..., Response]
"""Returns a page of a template and its values."""


class DeadLetterCalls:
    """Answers about dead letters."""

    def __init__(self, parts: ServerParts, blocking: Blocking, positions: Positions, render: Render) -> None:
        self._letters = parts.letters
        self._status = parts.status
        self._blocking = blocking
        self._positions = positions
        self._render = render
        self._replays = LetterReplays(
            parts.log, parts.letters, parts.reader, parts.trial, positions=positions, blocking=blocking, clock=parts.clock
        )

    def routes(self) -> list[BaseRoute]:
        """Return where the pages are."""
        return [
            Route("/dead-letters", self.letters_page),
            Route("/dead-letters/{letter_id}", self.letter_page),
        ]

    async def list_letters(self, request: Request) -> Response:
        """Answer a page of letters."""
        cursor, limit = _CURSOR.of(request), _LIMIT.of(request)
        await self._positions.wait_for_request(request)
        return json_answer(await self._blocking(self._letters.page, selection(request.query_params), cursor=cursor, limit=limit))

    async def show_letter(self, request: Request) -> Response:
        """Answer all of a letter."""
        await self._positions.wait_for_request(request)
        return json_answer(await self._blocking(self._detail, request.path_params["letter_id"]))

    async def replay(self, request: Request) -> Response:
        """Replay letters, or say what that would do."""
        return json_answer(await self._replays.replay(await read_struct(request, ReplayRequest)))

    async def let_go_on(self, request: Request) -> Response:
        """Let a processor go on that stopped because of too many letters."""
        positions = await self._replays.let_go_on(await read_struct(request, GoOnRequest))
        return json_answer(Intake(accepted=1, positions=positions))

    async def letters_page(self, request: Request) -> Response:
        """Show how many letters there are, and the newest of those that are asked for."""
        return await self._blocking(self._letters_page, request)

    async def letter_page(self, request: Request) -> Response:
        """Show a letter."""
        return self._render("dead_letter.html", detail=await self._blocking(self._detail, request.path_params["letter_id"]))

    def _letters_page(self, request: Request) -> Response:
        wanted = selection(request.query_params)
        cursor = request.query_params.get("cursor", "")
        page = self._letters.page(wanted, cursor=cursor, limit=PAGE_LETTERS)
        asked = {name: request.query_params.get(name, "") for name in ("processor", "error", "topic", "state", "since", "until")}
        return self._render(
            "dead_letters.html",
            letters=page.letters,
            counts=self._letters.counts(),
            stops=self._status().stops,
            wanted=wanted,
            filtered=_is_filtered(wanted),
            link=lambda **changed: _link({**asked, **changed}),
            older=_link({**asked, "cursor": page.next}) if page.next else "",
            newest=_link(asked) if cursor else "",
        )

    def _detail(self, letter_id: str) -> LetterDetail:
        view = self._letters.view(letter_id)
        if view is None:
            raise NotFound(f"letter {letter_id[:80]}: there is none of that id")
        letter = self._letters.whole([letter_id])[letter_id]
        return LetterDetail(
            letter=view,
            record_time=from_micros(letter.timestamp * 1000),
            key=None if letter.key is None else shown(letter.key),
            value=shown(letter.value),
            headers=[(name, shown(value)) for name, value in letter.headers],
            event=event_of(letter),
            event_id=letter.text_of("ce_id"),
            first_id=letter.first_id,
            previous_id=letter.previous_id,
            following=self._letters.following(letter_id),
            replayed=self._letters.replays(letter_id),
        )


def shown(data: bytes) -> Bytes:
    """Return bytes as they can be looked at."""
    try:
        return Bytes(size=len(data), text=data.decode())
    except UnicodeDecodeError:
        return Bytes(size=len(data), hex=data.hex())


def event_of(letter: Letter) -> Any:
    """Return a letter's event as CloudEvents have it in JSON, or None where it is none."""
    try:
        event = from_record(Outgoing(letter.topic, letter.key, letter.value, letter.headers))
        return msgspec.json.decode(encode_batch([event]))[0]
    except (InvalidEvent, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _is_filtered(wanted: LetterSelection) -> bool:
    return bool(wanted.processor or wanted.error or wanted.topic or wanted.since or wanted.until)


def _link(asked: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/dead-letters?{query}" if query else "/dead-letters"
