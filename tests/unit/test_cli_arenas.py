"""However many threads allocate at once, the C library does so in two arenas."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

THREADS = 8
COUNT = f"""
import ctypes, sys, threading
from runherald.cli.arenas import bound_arenas

print(bound_arenas() if "bound" in sys.argv else "", file=sys.stderr)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
allocated = threading.Barrier({THREADS})

def allocate():
    for _ in range(1_000):
        libc.malloc(10_000)
    allocated.wait()

threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def arenas(*arguments: str, **environment: str) -> tuple[int, str]:
    """Return how many arenas a process with many threads has in the end, and what it said."""
    inherited = {name: text for name, text in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    program = [sys.executable, "-c", COUNT, *arguments]
    done = subprocess.run(program, env=inherited | environment, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.count("<heap nr="), done.stderr.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
def test_two_arenas_are_all_unless_the_environment_says_more() -> None:
    assert arenas()[0] > 2
    assert arenas("bound") == (2, "True")
    count, said = arenas("bound", MALLOC_ARENA_MAX="4")
    assert (count > 2, said) == (True, "False")
