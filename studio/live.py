"""The change feed: which runs changed, told to every open page."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runherald.streams.fill import Fill
from runherald.studio.errors import Busy
from runherald.studio.parameters import Text
from runherald.validation import check_run_id

logger = logging.getLogger(__name__)

MAX_PENDING = 10_000
"""Changed runs that a slow reader may have before it; then its stream ends, and it begins anew with a fresh look."""
MAX_FOLLOWERS = 256
"""Streams at once. Each run that is followed alone costs a question to history at every look."""
SEND_SECONDS = 30.0
"""How long one change may wait for its reader to take it; a page that stands still must not hold its place for ever."""

FOLLOWED = Text("run", "The id of a run: its changes and those of its descendants alone.")


class Subscription:
    """One reader of the feed. Changes of a run that were not read yet are one change."""

    def __init__(self, run_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.run_id = run_id
        self._loop = loop
        self._pending: dict[str, None] = {}
        self._something = asyncio.Event()
        self._ended = False

    def offer(self, run_id: str, relatives: tuple[str, ...]) -> None:
        """Take a change; from any thread."""
        if not self.run_id or self.run_id == run_id or self.run_id in relatives:
            self._call(self._add, run_id)

    def end(self) -> None:
        """End the stream; from any thread."""
        self._call(self._end)

    @property
    def pending(self) -> int:
        """How many changes were not read yet."""
        return len(self._pending)

    async def changes(self) -> AsyncIterator[str]:
        """Go through the ids of runs that change, until the feed is closed."""
        while True:
            await self._something.wait()
            pending, self._pending = self._pending, {}
            self._something.clear()
            for run_id in pending:
                yield run_id
            if self._ended:
                return

    def _call(self, function: object, *arguments: str) -> None:
        # The reader's loop may be gone when the server is stopping.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]

    def _add(self, run_id: str) -> None:
        self._pending[run_id] = None
        if len(self._pending) > MAX_PENDING:
            self._pending.clear()
            self._ended = True
        self._something.set()

    def _end(self) -> None:
        self._ended = True
        self._something.set()


class LiveFeed:
    """Passes changes on. Whoever learns of one publishes it; the looks of `runherald.studio.live_look` do."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def publish(self, run_id: str, *relatives: str) -> None:
        """Say that a run changed, to those who follow all runs, this one, or one of its relatives; from any thread."""
        for subscription in tuple(self._subscriptions):
            subscription.offer(run_id, relatives)

    def watched(self) -> set[str]:
        """Return the runs that somebody follows one by one."""
        return {subscription.run_id for subscription in tuple(self._subscriptions) if subscription.run_id}

    @property
    def followed(self) -> bool:
        """Whether anybody reads the feed."""
        return bool(self._subscriptions)

    def count(self) -> int:
        """Return how many read the feed."""
        return len(self._subscriptions)

    def fills(self) -> tuple[Fill, Fill]:
        """Return how many changes the reader that is furthest behind has before it, and how many readers there are."""
        readers = tuple(self._subscriptions)
        behind = max((reader.pending for reader in readers), default=0)
        return Fill("live", behind, MAX_PENDING), Fill("live_streams", len(readers), MAX_FOLLOWERS)

    @contextmanager
    def subscribe(self, run_id: str = "") -> Iterator[Subscription]:
        """Follow all runs, or one and its children."""
        subscription = Subscription(run_id, asyncio.get_running_loop())
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.end()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every stream, so that the server can stop; from any thread."""
        self._closed = True
        for subscription in tuple(self._subscriptions):
            subscription.end()


class LiveStream(Response):
    """The feed as server-sent events, until it is closed, or its reader leaves or stands still."""

    media_type = "text/event-stream"

    def __init__(self, feed: LiveFeed, followed: str, send_seconds: float) -> None:
        super().__init__()
        self._feed = feed
        self._followed = followed
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send changes as they come."""
        # Imported here because the module replaces uvicorn's signal handler, which concerns servers alone.
        from sse_starlette import EventSourceResponse, ServerSentEvent
        from sse_starlette.sse import SendTimeoutError

        async def events() -> AsyncIterator[ServerSentEvent]:
            with self._feed.subscribe(self._followed) as subscription:
                yield ServerSentEvent(event="open", data="", retry=1_000)
                async for run_id in subscription.changes():
                    yield ServerSentEvent(event="change", data=run_id)

        try:
            await EventSourceResponse(events(), ping=15, send_timeout=self._send_seconds)(scope, receive, send)
        except SendTimeoutError:
            logger.info("event=live_reader_stands_still seconds=%g", self._send_seconds)


def live_stream(feed: LiveFeed, request: Request, *, send_seconds: float = SEND_SECONDS) -> Response:
    """Return the feed as server-sent events: `change`, data the id of a run.

    Raises:
        InvalidEvent: what is to be followed is no id of a run.
        Busy: too many follow already.
    """
    followed = FOLLOWED.of(request)
    if followed:
        check_run_id("run", followed)
    if feed.count() >= MAX_FOLLOWERS:
        raise Busy(f"{MAX_FOLLOWERS} streams are open already; close some")
    return LiveStream(feed, followed, send_seconds)
