"""How the C library allocates in a process that serves for months: so that what one burst needed is given back."""

from __future__ import annotations

import ctypes
import os

ARENAS = 2
"""With eight a core, glibc's own number, each thread's peak stays: under an overload the embedded server grew by 10 MiB a minute, and with
two by 1 to 2 (docs/drills.md)."""
LARGE_BYTES = 128 * 1024
"""Blocks from this size on are mappings of their own, given back when they are freed. It is glibc's own number, but glibc raises it to the
size of whatever is freed, up to 32 MiB: then the columns of batches lie between small blocks, and leave holes."""
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
"""The parameters' numbers in glibc's malloc.h."""
_SETTINGS = (("MALLOC_ARENA_MAX", _M_ARENA_MAX, ARENAS), ("MALLOC_MMAP_THRESHOLD_", _M_MMAP_THRESHOLD, LARGE_BYTES))


def steady_allocator() -> bool:
    """Have the C library allocate so from now on, but for what the environment says otherwise; say whether it can.

    To be called before threads are started: an arena that is there stays. Libraries other than glibc have no such settings, nor need them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS; musl; Windows
        return False
    taken = [mallopt(number, value) for variable, number, value in _SETTINGS if variable not in os.environ]
    return all(taken)
