"""The run that a script was submitted as: whoever runs the script says how it ended."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from runherald.producers.jobs.job import CANCEL_FILE, JOB_VARIABLE
from runherald.status import Cause, Status

from .run import Run


class SubmittedRun(Run):
    """The run that this script was submitted as. Its end is said by whoever runs it, so completing it here says nothing, and logging goes
    on; failing it counts, unless the script is being cancelled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        job = os.environ.get(JOB_VARIABLE, "")
        self._cancel_file = Path(job, CANCEL_FILE) if job else None

    @property
    def cancel_requested(self) -> bool:
        """Whether this script is being cancelled, by somebody or its time limit (ours).

        A script that asks ends itself: from the first time on, SIGTERM does not end it, unless it says itself what that does. It is killed
        when its time of grace is over.
        """
        if self._cancel_file is not None:
            _outlive_sigterm()
            if self._cancel_file.exists():
                self._cancel_seen = True
                return True
        return super().cancel_requested

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._cancel_file is not None and self._cancel_file.exists():
            self.flush(timeout_seconds=10)  # whatever ends the block now, its runner says Canceled, and why
        else:
            super().__exit__(kind, error, trace)

    def _end(self, status: Status, cause: Cause | None = None, message: str = "") -> None:
        if status is Status.COMPLETED:
            self.flush(timeout_seconds=10)
        else:
            super()._end(status, cause, message)


def _outlive_sigterm() -> None:
    """Let SIGTERM end nothing, where it would end the process. Programs that this one starts do not inherit that."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _go_on)


def _go_on(number: int, frame: FrameType | None) -> None:
    del number, frame
