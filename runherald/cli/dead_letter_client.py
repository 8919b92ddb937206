"""The calls of the HTTP API about dead letters (`runherald.letters_api`), for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from runherald.api import Intake
from runherald.letters_api import GoOnRequest, LetterDetail, LetterPage, ReplayAnswer, ReplayRequest
from runherald.producers.server.client import ApiClient


class DeadLetterClient(ApiClient):
    """A client that knows of dead letters."""

    def list_letters(self, filters: Mapping[str, str], *, cursor: str = "", limit: int = 100) -> LetterPage:
        """Return a page of letters, newest first; `filters` are parameters of the API."""
        return self._get("/dead-letters", LetterPage, {**filters, "cursor": cursor, "limit": str(limit)})

    def show_letter(self, letter_id: str) -> LetterDetail:
        """Return all of a letter."""
        return self._get(f"/dead-letters/{quote(letter_id, safe='')}", LetterDetail)

    def replay(self, request: ReplayRequest) -> ReplayAnswer:
        """Replay letters, or say what that would do."""
        return self._post("/dead-letters/replay", msgspec.json.encode(request), ReplayAnswer)

    def let_go_on(self, request: GoOnRequest) -> Intake:
        """Let a processor go on that stopped."""
        return self._post("/dead-letters/go-on", msgspec.json.encode(request), Intake)
