"""How many arenas the C library allocates in: two, for a process that serves for months."""

from __future__ import annotations

import ctypes
import os

ARENAS = 2
"""With eight a core, glibc's own number, each thread's peak stays: under an overload the embedded server grew by 10 MiB a minute, and with
two it does not (docs/drills.md)."""
_M_ARENA_MAX = -8
"""The parameter's number in glibc's malloc.h."""


def bound_arenas() -> bool:
    """Have the C library allocate in two arenas from now on, unless MALLOC_ARENA_MAX says how many; say whether it does.

    To be called before threads are started: an arena that is there stays. Libraries other than glibc have no such setting, nor need it.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS; musl; Windows
        return False
    return bool(mallopt(_M_ARENA_MAX, ARENAS))
