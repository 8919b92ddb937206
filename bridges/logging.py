"""Python's log as lines of a run.

logging.getLogger().addHandler(RunHandler(run, level=logging.INFO))
"""

from __future__ import annotations

import logging

from runherald import Run
from runherald.producers.shipping.shipper import THREAD_NAME

FILE = "logs/python.log"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RunHandler(logging.Handler):
    """Makes records lines of a run's file; they stand in the run's journal when the call that logs returns.

    What this package logs itself is left to other handlers, and so is what is logged while its records are sent. After the end of the run
    nothing is taken. No fault here reaches who logs.

    Args:
        level: records below it are left out.
        file: the name that the lines have in the run.
    """

    def __init__(self, run: Run, level: int | str = logging.NOTSET, *, file: str = FILE) -> None:
        super().__init__(level)
        self._run = run
        self._file = file
        self.setFormatter(logging.Formatter(FORMAT))
        # A filter is asked before the handler's lock is taken: who holds a journal's lock may log, and must not wait for who waits for it.
        self.addFilter(_is_of_the_script)

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        if self._run.has_ended:
            return
        try:
            self._run.log_lines([self.format(record)], self._file)
        except (
            Exception
        ):  # the run's or the record's own, which may raise anything: a text that cannot be formatted must not end a training
            self.handleError(record)


def _is_of_the_script(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != "runherald" and record.threadName != THREAD_NAME
