"""The server process: puts the parts together, serves, and takes them apart again."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import uvicorn
from msgspec.structs import replace

from runherald.alerts.lag_mail import LagComposer
from runherald.alerts.smtp import NoServer, SmtpTransport
from runherald.alerts.smtp_address import parse_smtp
from runherald.cli.parts import check_schema, limited, open_history, processors, rules_of
from runherald.clock import system_clock
from runherald.deploy.mail_catcher import MailCatcher
from runherald.errors import InvalidInput
from runherald.settings import Mail, Settings, without_password
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import DamagedPartsWatch, set_aside
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.sinks.guard.guard import QueryGuard
from runherald.sinks.migrate import migrate
from runherald.sinks.notice_balance import NoticeBalanceReader
from runherald.sinks.queries import HistoryReader
from runherald.streams.dead_letters import NAME as DEAD_LETTERS_NAME
from runherald.streams.embedded_runner import EmbeddedRunner
from runherald.streams.letter_trial import LetterTrial
from runherald.streams.log import open_log
from runherald.studio.app import make_app
from runherald.studio.lag_watch import LONGEST_ANSWER, LagWatch, PipelineLook, smtp_sender
from runherald.studio.live import LiveFeed
from runherald.studio.parts import ServerParts
from runherald.studio.processor_lag import LogLag
from runherald.studio.server_status import LogStatus
from runherald.topics import ALERTS, DEAD_LETTERS, EVENTS, LOGS, METRICS, STATUS

logger = logging.getLogger(__name__)

ABOUT = "server.json"
"""File in the data folder that says where a server answers, while it does."""

WATCHED = "watch.json"
"""File in the data folder that says what the operator was told of."""

_TOPICS = {
    "history": (EVENTS,),
    "metrics": (METRICS,),
    "logs": (LOGS,),
    "leases": (EVENTS,),
    "alerting": (STATUS,),
    "mailer": (ALERTS,),
    DEAD_LETTERS_NAME: (DEAD_LETTERS,),
}
_GRACE_SECONDS = 5


def serve(settings: Settings, *, catch_mail: bool) -> int:
    """Serve until SIGTERM or Ctrl-C and return the exit status."""
    rules = rules_of(settings)  # first: a wrong rule file is said before anything is opened
    settings.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        listener = stack.enter_context(closing(_listen(settings.host, settings.port)))
        url = f"http://{_host_for_links(settings.host)}:{listener.getsockname()[1]}"
        public_url = settings.public_url or url
        log = stack.enter_context(closing(open_log(settings.log, folder=settings.data)))
        history = stack.enter_context(closing(_ready_history(settings)))
        if history.embedded:
            stack.enter_context(DamagedPartsWatch(history))
        mails = settings.data / "mails" if catch_mail else None
        mail = settings.mail
        if mails is not None:
            catcher = stack.enter_context(MailCatcher(mails))
            mail = replace(mail, smtp=catcher.url)
        made = processors(settings, lambda: history, rules, mail=mail, public_url=public_url)
        embedded = settings.log == "embedded" or settings.history == "embedded"
        # Dead letters are the server's: when a worker stops because of them, all its processors do, and somebody has to say so.
        own = made if embedded else {DEAD_LETTERS_NAME: made[DEAD_LETTERS_NAME]}
        runner = EmbeddedRunner(log, limited(own, lambda: history))
        reader = HistoryReader(history)
        letters = DeadLetterReader(history)
        live = LiveFeed()
        guard = stack.enter_context(closing(QueryGuard.open(history, settings.query_history)))
        status = LogStatus(
            LogLag(log, _TOPICS),
            letters,
            NoticeBalanceReader(history),
            version=version("runherald"),
            log_url=settings.log,
            history_url=history.url_for_humans if settings.history != "embedded" else settings.history,
            set_aside=partial(set_aside, history) if history.embedded else dict,
        )
        parts = ServerParts(
            log=log,
            reader=reader,
            letters=letters,
            trial=LetterTrial(made),
            guard=guard,
            status=status,
            ailment=lambda: _ailment(runner),
            health=runner.health,
            fills=runner.fills,
            live=live,
            lag_seconds=settings.watch.lag_seconds,
            token=settings.token,
            mail_folder=mails,
            public_url=public_url,
        )
        runner.start()
        stack.callback(runner.stop)
        if settings.watch.lag_seconds:
            watch = _lag_watch(settings, status, reader, mail=mail, public_url=public_url)
            watch.start()
            stack.callback(watch.stop)
        server = _Server(
            uvicorn.Config(
                make_app(parts), log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, timeout_keep_alive=60
            ),
            live,
        )
        stack.enter_context(_about(settings.data / ABOUT, url, mail.smtp if catch_mail else ""))
        logger.info("server started url=%s log=%s history=%s data=%s", url, settings.log, without_password(settings.history), settings.data)
        print(f"runherald is on {url}", flush=True)  # noqa: T201
        if catch_mail:
            others = f" (workers reach them with --smtp {mail.smtp})" if settings.log != "embedded" else ""
            print(f"mails are not sent on, they are kept on {url}/mails{others}", flush=True)  # noqa: T201
        _run(server, listener)
    logger.info("server stopped url=%s", url)
    return 0


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until a signal. uvicorn raises the signal once more when it is done, which must not end the process: there is more to close."""
    before = {number: signal.signal(number, _stopping) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopping(_number: int, _frame: FrameType | None) -> None:
    pass


class _Server(uvicorn.Server):
    """Ends the live streams when it is told to stop: it would wait for them otherwise."""

    def __init__(self, config: uvicorn.Config, live: LiveFeed) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.close()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host}:{port} ({error.strerror}); stop what does, or choose another with --port") from error


def _ready_history(settings: Settings) -> HistoryDatabase:
    history = open_history(settings)
    try:
        if settings.history == "embedded":
            migrate(history, contract=True)  # nobody else is on it: the log's folder is ours
        else:
            check_schema(history)
    except BaseException:
        history.close()
        raise
    return history


def _lag_watch(settings: Settings, status: LogStatus, reader: HistoryReader, *, mail: Mail, public_url: str) -> LagWatch:
    limit = settings.watch.lag_seconds
    smtp = parse_smtp(mail.smtp) if mail.smtp else None
    composer = LagComposer(mail.sender, public_url=public_url, limit=limit)
    return LagWatch(
        PipelineLook(status.of_log, reader.check, system_clock, seconds=min(LONGEST_ANSWER, limit)),
        composer,
        smtp_sender(lambda: SmtpTransport(smtp, timeout=mail.timeout_seconds) if smtp else NoServer(), composer.envelope_sender),
        settings.data / WATCHED,
        limit=limit,
        recipients=mail.to,
    )


def _ailment(runner: EmbeddedRunner) -> str:
    if runner.healthy:
        return ""
    ill = [each for each in runner.health() if each.state not in ("starting", "running")]
    return "; ".join(f"processor {each.name} is {each.state}: {each.error}" for each in ill)


@contextmanager
def _about(path: Path, url: str, smtp: str) -> Iterator[None]:
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"url": url, "pid": os.getpid(), "smtp": smtp}))
    unfinished.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _host_for_links(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
