"""The whole embedded server in this process: real log, processors, history and HTTP, on a free port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette

from runherald.api import POSITION_HEADER, Intake, format_positions
from runherald.clock import Clock, system_clock
from runherald.events import Event
from runherald.records import Processor
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.sinks.guard.answer import QueryLimits
from runherald.sinks.guard.guard import QueryGuard
from runherald.sinks.migrate import migrate
from runherald.sinks.notice_balance import NoticeBalanceReader
from runherald.sinks.queries import HistoryReader
from runherald.streams.dead_letters import dead_letters_processor
from runherald.streams.embedded_log import EmbeddedLog
from runherald.streams.embedded_runner import EmbeddedRunner
from runherald.streams.history import history_processor
from runherald.streams.letter_trial import LetterTrial
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor
from runherald.studio.app import make_app
from runherald.studio.parts import ServerParts
from runherald.studio.processor_lag import LogLag
from runherald.studio.server_status import LogStatus
from runherald.topics import DEAD_LETTERS, EVENTS, LOGS, METRICS
from runherald.wire import CONTENT_TYPE, encode_batch


class StudioServer:
    """A server on a database of its own. `settings` are attributes of `ServerParts` that differ."""

    def __init__(
        self,
        db: HistoryDatabase,
        folder: Path,
        *,
        clock: Clock = system_clock,
        port: int = 0,
        processing: bool = True,
        query_limits: QueryLimits | None = None,
        **settings: Any,
    ) -> None:
        migrate(db)
        self.log = EmbeddedLog(folder)
        factories: dict[str, Callable[[], Processor]] = {
            "history": lambda: history_processor(db, clock),
            "metrics": lambda: metrics_processor(db, clock),
            "logs": lambda: logs_processor(db, clock),
            "dead-letters": lambda: dead_letters_processor(db, clock),
        }
        self._runner = EmbeddedRunner(self.log, factories)
        self._processing = processing
        self._guard = QueryGuard.open(db, limits=query_limits)
        reader, letters = HistoryReader(db, clock), DeadLetterReader(db)
        topics = {"history": (EVENTS,), "metrics": (METRICS,), "logs": (LOGS,), "dead-letters": (DEAD_LETTERS,)}
        status = LogStatus(
            LogLag(self.log, topics),
            letters,
            NoticeBalanceReader(db),
            version="test",
            log_url="embedded",
            history_url=db.url_for_humans,
        )
        self.parts = ServerParts(
            log=self.log,
            reader=reader,
            letters=letters,
            trial=LetterTrial(factories),
            guard=self._guard,
            status=status,
            clock=clock,
            **settings,
        )
        self.app: Starlette = make_app(self.parts)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, name="studio")
        headers = {"Authorization": f"Bearer {self.parts.token}"} if self.parts.token else {}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def post(self, events: Sequence[Event]) -> Intake:
        """Send a batch of events."""
        reply = self.http.post("/api/v1/events", content=encode_batch(events), headers={"Content-Type": CONTENT_TYPE})
        assert reply.status_code == 200, reply.text
        return msgspec.json.decode(reply.content, type=Intake)

    def get(self, path: str, after: Intake | None = None) -> Any:
        """Return the JSON answer to a GET that sees what was written."""
        reply = self.http.get(path, headers={POSITION_HEADER: format_positions(after.positions)} if after else {})
        assert reply.status_code == 200, reply.text
        return reply.json()

    def __enter__(self) -> Self:
        if self._processing:
            self._runner.start()
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            assert self._thread.is_alive(), "the server stopped"
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.http.close()
        self.parts.live.close()
        self._server.should_exit = True
        self._thread.join(20)
        if self._processing:
            assert self._runner.stop()
        self._guard.close()
        self.log.close()
        self._listener.close()
