"""The pipeline watches itself: when it lags, the operator gets a mail straight from here, not through the pipeline that lags."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from runherald.alerts.lag_incident import Symptom, Telling, Watched, due, look, told
from runherald.alerts.lag_mail import LagComposer
from runherald.alerts.smtp import Accepted, Delivery, NoServer, SmtpTransport
from runherald.api import ProcessorStatus, ServerStatus
from runherald.clock import Clock, system_clock
from runherald.studio.bounded import Bounded

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 10.0
LONGEST_ANSWER = 10.0
"""Seconds that a look waits for the log, and for history."""
_STOP_SECONDS = 5

Send = Callable[[Mapping[str, bytes]], Mapping[str, Delivery]]
"""Hands mails over, one for each recipient, and says what became of each; blocks, for a bounded time."""


class PipelineLook:
    """Says how far the pipeline is behind. Log and history are asked within bounds; what does not answer is behind since it last did."""

    def __init__(self, log: Callable[[], ServerStatus], history: Callable[[], None], clock: Clock, *, seconds: float) -> None:
        self._log = Bounded("log", log, seconds)
        self._history = Bounded("history", history, seconds)
        self._clock = clock
        self._answered = {"log": clock(), "database": clock()}

    def __call__(self) -> list[Symptom]:
        """Return how far each processor, the log and history are behind."""
        symptoms: list[Symptom] = []
        try:
            status = self._log()
        except Exception as error:  # whatever it is, it is told
            symptoms.append(self._silent("log", error))
        else:
            self._answered["log"] = self._clock()
            symptoms += [
                Symptom(each.processor, each.age_seconds, f"{each.lag} records of {each.topic} wait")
                for each in status.processors
                if each.lag
            ]
        try:
            self._history()
        except Exception as error:  # whatever it is, it is told
            symptoms.append(self._silent("database", error))
        else:
            self._answered["database"] = self._clock()
        return symptoms

    def close(self) -> None:
        """Let go of the threads."""
        self._log.close()
        self._history.close()

    def _silent(self, part: str, error: Exception) -> Symptom:
        return Symptom(part, max(0.0, (self._clock() - self._answered[part]).total_seconds()), str(error))


class LagWatch:
    """Looks again and again, in a thread of its own, and tells the recipients of an incident once when it begins and once when it is over.

    What is known is kept in a file, so that a restart neither forgets an incident nor tells of it twice. Several servers on one log
    tell each for themselves. `limit` in seconds, above 0.
    """

    def __init__(
        self,
        look_at: PipelineLook,
        composer: LagComposer,
        send: Send,
        file: Path,
        *,
        limit: float,
        recipients: Sequence[str],
        clock: Clock = system_clock,
        chance: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._look_at = look_at
        self._composer = composer
        self._send = send
        self._file = file
        self._limit = limit
        self._recipients = tuple(recipients)
        self._clock = clock
        self._chance = chance
        self._new_id = new_id
        self._watched = _kept(file)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runherald-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a mail under way may be lost, and is sent again after the next start."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)
        self._look_at.close()

    def step(self) -> None:
        """Look once, and tell what is to be told."""
        before = self._watched
        symptoms = self._look_at()
        now = self._clock()
        after = look(before, symptoms, now, limit=self._limit, recipients=self._recipients, incident_id=self._new_id())
        _log_change(before, after)
        self._keep(after)
        telling = due(after, now)
        if telling is not None:
            self._tell(telling)

    def _tell(self, telling: Telling) -> None:
        outcomes = self._send({recipient: self._composer.compose(telling, recipient) for recipient in telling.waiting})
        for recipient, delivery in outcomes.items():
            if not isinstance(delivery, Accepted):
                logger.warning(
                    "event=lag_mail_failed kind=%s recipient=%s permanent=%s reason=%s",
                    *(telling.kind, recipient, delivery.permanent, delivery.reason),
                )
        self._keep(told(self._watched, outcomes, self._clock(), self._chance()))

    def _keep(self, watched: Watched) -> None:
        if watched == self._watched:
            return
        self._watched = watched
        unfinished = self._file.with_suffix(".tmp")
        try:
            unfinished.write_bytes(msgspec.json.encode(watched))
            unfinished.replace(self._file)
        except OSError as error:
            # A full disk is one of the reasons to lag: the mail matters more than the memory of it.
            logger.warning("event=lag_watch_not_kept file=%s reason=%s", self._file, error.strerror)

    def _run(self) -> None:
        while not self._stopping.wait(min(LONGEST_PAUSE, self._limit / 6)):
            try:
                self.step()
            except Exception:
                # The edge of the thread: whatever went wrong with one look, the next may go well.
                logger.exception("event=lag_watch_failed")


def smtp_sender(transport: Callable[[], SmtpTransport | NoServer], sender: str) -> Send:
    """Return what sends over a transport of its own, made for each burst."""

    async def send_all(mails: Mapping[str, bytes]) -> dict[str, Delivery]:
        used = transport()
        try:
            sent = await asyncio.gather(*(used.send(sender, recipient, mail) for recipient, mail in mails.items()))
        finally:
            await used.close_idle(older_than=0)
        return dict(zip(mails, sent, strict=True))

    return lambda mails: asyncio.run(send_all(mails))


def _symptom(status: ProcessorStatus) -> Symptom:
    waiting = "1 record waits" if status.lag == 1 else f"{status.lag} records wait"
    return Symptom(status.processor, status.age_seconds, f"{waiting} in {status.topic}")


def _kept(file: Path) -> Watched:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Watched)
    except FileNotFoundError:
        return Watched()
    except (OSError, msgspec.MsgspecError) as error:
        logger.warning("event=lag_watch_forgotten file=%s reason=%s", file, error)
        return Watched()


def _log_change(before: Watched, after: Watched) -> None:
    if after.incident is not None and before.incident is None:
        parts = ",".join(f"{symptom.part}:{symptom.seconds:.0f}s" for symptom in after.incident.worst)
        logger.warning("event=pipeline_lags incident=%s behind=%s", after.incident.incident_id, parts)
    if before.incident is not None and after.incident is None:
        logger.info("event=pipeline_caught_up incident=%s", before.incident.incident_id)
