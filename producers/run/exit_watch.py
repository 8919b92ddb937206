"""How a script leaves: what `sys.exit` was called with, when it was that which ended the process.

Python keeps an exception that ends a script in `sys.last_value`, but of `SystemExit` it keeps nothing, and calls no hook. So `sys.exit` is
watched: its exception carries something that dies with it, and what dies in the main thread while no Python code is under way was caught by
none. A `SystemExit` that was raised without `sys.exit`, by the `exit()` of interactive sessions too, cannot be known; nor can a call of a
`sys.exit` that the script took for itself before it was watched (`from sys import exit`).
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import Any, NoReturn

_watched: dict[str, SystemExit] = {}
"""What ended the process."""


class _Leaving:
    """Tells with which status the process is left, when the exception that carries this dies of it."""

    def __init__(self, status: object) -> None:
        self._status = status

    def __del__(self) -> None:
        if sys._getframe().f_back is None and threading.current_thread() is threading.main_thread():
            _watched["end"] = SystemExit(self._status)


def watch_exit() -> None:
    """Watch `sys.exit` from now on."""
    if getattr(sys.exit, "is_watched", False):
        return
    ways_out: Any = sys.exit  # whoever watches it, too, is called as before

    @functools.wraps(ways_out)
    def watched_exit(status: Any = None, /) -> NoReturn:
        try:
            ways_out(status)
        except SystemExit as error:
            error.__dict__["leaving"] = _Leaving(error.code)
            raise
        raise SystemExit(status)  # another's that returned

    watched_exit.__dict__["is_watched"] = True
    sys.exit = watched_exit


def exit_of_process() -> SystemExit | None:
    """Return what the process is left with, once it is; None where that is not known."""
    return _watched.get("end")
