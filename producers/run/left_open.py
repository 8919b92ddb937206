"""Runs that are open when an exception ends the script: they failed of it, as if each stood in a `with` block."""

from __future__ import annotations

import atexit
import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run

_begun: weakref.WeakSet[Run] = weakref.WeakSet()


def fail_if_left_open(run: Run) -> None:
    """See to it that a run that this process begins is ended by the exception that ends the process, where nobody ended it before.

    A script that ends in order and leaves a run open says nothing of how it went: that run is left to its lease.
    """
    if not _begun:
        atexit.unregister(_fail_open_runs)
        atexit.register(_fail_open_runs)  # after what sends was: it is called before that ends
    _begun.add(run)


def exception_of_script() -> BaseException | None:
    """Return the exception that ended the script, which Python keeps; a session's or notebook's is an old one, that was seen."""
    return None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)


def _fail_open_runs() -> None:
    error = exception_of_script()
    if error is None:
        return
    for run in list(_begun):
        if not run.experiment.workspace.session.closed:
            run.__exit__(type(error), error, None)
