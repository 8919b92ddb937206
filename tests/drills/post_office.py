"""A mail server under drill: it can be away, slow, refuse, and hang up after it took a mail."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from runherald.deploy.mail_catcher import MailCatcher

FAULTS = ("smtp-away", "smtp-slow", "smtp-4xx", "smtp-5xx-one", "smtp-drop-before-250", "smtp-drop-after-data")
REFUSED = "gone@example.org"
"""The recipient that `smtp-5xx-one` is about."""


class PostOffice:
    """A mail catcher with moods, each for a while."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.dropped_after = 0
        self._port = port
        self._mood = ""
        self._until = 0.0
        self._lock = threading.Lock()
        self._catcher: MailCatcher | None = None
        self._timer: threading.Timer | None = None

    @property
    def url(self) -> str:
        """What `--smtp` takes."""
        return f"smtp://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen."""
        with self._lock:
            if self._catcher is None:
                self._catcher = MailCatcher(self.folder, port=self._port, refuse=self._refuse)
                self._catcher.start()

    def close(self) -> None:
        """Hang up, and listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._away()

    def strike(self, fault: str, lasts: float) -> None:
        """Take on a mood for so many seconds."""
        if fault == "smtp-away":
            self._away()
            self._timer = threading.Timer(lasts, self.open)
            self._timer.start()
        else:
            self._mood, self._until = fault, time.monotonic() + lasts

    def heal(self) -> None:
        """Be well again, now."""
        if self._timer is not None:
            self._timer.cancel()
        self._mood = ""
        self.open()

    def _away(self) -> None:
        with self._lock:
            if self._catcher is not None:
                self._catcher.stop()
                self._catcher = None

    def _refuse(self, stage: str, address: str) -> str | None:
        mood = self._mood if time.monotonic() < self._until else ""
        match mood, stage:
            case "smtp-slow", "MAIL":
                time.sleep(0.2)
            case "smtp-4xx", "RCPT":
                return "451 4.3.0 try again later"
            case "smtp-5xx-one", "RCPT" if address == REFUSED:
                return "550 5.1.1 no such user"
            case "smtp-drop-before-250", "DROP_BEFORE_ACCEPTING":
                return "drop"
            case "smtp-drop-after-data", "ACCEPTED_THEN_DROP":
                self.dropped_after += 1
                return "drop"
            case _:
                pass
        return None
