"""What the server is made of: everything comes in from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from msgspec import Struct, field

from runherald.clock import Clock, system_clock
from runherald.limits import SERVER_LIMITS, Limits
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.sinks.guard.guard import QueryGuard
from runherald.sinks.queries import HistoryReader
from runherald.streams.fill import Filled
from runherald.streams.health import ProcessorHealth
from runherald.streams.letter_trial import LetterTrial
from runherald.streams.log import Log
from runherald.studio.live import LiveFeed
from runherald.studio.server_status import LogStatus

MAX_BODY = 4 * 1024 * 1024


def new_producer() -> str:
    """Return an id under which the server itself reports one event."""
    return f"studio-{uuid4()}"


def nothing_wrong() -> str:
    """Say that the server is healthy."""
    return ""


def no_processors() -> Sequence[ProcessorHealth]:
    """Say that no processor runs in this process."""
    return ()


def nothing_waits() -> Sequence[Filled]:
    """Say that nothing waits in this process."""
    return ()


class ServerParts(Struct, frozen=True, kw_only=True):
    """The parts of a server.

    Attributes:
        trial: says which dead letters would be refused again.
        status: blocks; what the server runs and how far it is.
        health: how the processors of this process are doing.
        fills: how full the places are where records wait for the processors of this process.
        ailment: blocks; why the server is not healthy, or empty. That history answers is checked apart from it.
        lag_seconds: from which age of the oldest unprocessed record on a processor is said to lag; 0 for never.
        token: what callers must show; empty for none.
        mail_folder: of the mail catcher; None when mail goes elsewhere.
        public_url: of the server as people reach it.
        max_body: bytes of a request.
        position_wait: seconds that a read waits for what its caller wrote.
        status_wait: seconds that page and metrics wait for log and for history; what does not answer is left out.
        live_interval: seconds between two looks for changes, while a page is open.
    """

    log: Log
    reader: HistoryReader
    letters: DeadLetterReader
    trial: LetterTrial
    guard: QueryGuard
    status: LogStatus
    ailment: Callable[[], str] = nothing_wrong
    health: Callable[[], Sequence[ProcessorHealth]] = no_processors
    fills: Callable[[], Sequence[Filled]] = nothing_waits
    live: LiveFeed = field(default_factory=LiveFeed)
    clock: Clock = system_clock
    new_producer: Callable[[], str] = new_producer
    lag_seconds: float = 0.0
    token: str = ""
    mail_folder: Path | None = None
    public_url: str = ""
    limits: Limits = SERVER_LIMITS
    max_body: int = MAX_BODY
    position_wait: float = 10.0
    status_wait: float = 5.0
    live_interval: float = 0.5
