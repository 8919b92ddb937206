"""However many threads allocate at once, the C library does so in two arenas, and large blocks are given back when they are freed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="these settings are glibc's")

THREADS = 8
PROGRAM = f"""
import ctypes, sys, threading
from runherald.cli.allocator import steady_allocator

if "steady" in sys.argv:
    assert steady_allocator()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
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
libc.free(libc.malloc(8_000_000))  # from now on, glibc would put blocks of this size among the small ones
libc.malloc(7_000_000)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


class Allocated(NamedTuple):
    """How many arenas a process with many threads has in the end, and how many bytes are mappings of their own."""

    arenas: int
    mapped: int


def allocated(*arguments: str, **environment: str) -> Allocated:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    program = [sys.executable, "-c", PROGRAM, *arguments]
    said = subprocess.run(program, env=inherited | environment, capture_output=True, text=True, timeout=30, check=True).stdout
    (mapped,) = re.findall(r'<total type="mmap" count="\d+" size="(\d+)"/>', said)
    return Allocated(said.count("<heap nr="), int(mapped))


def test_two_arenas_are_all_and_large_blocks_are_mappings() -> None:
    before, after = allocated(), allocated("steady")
    assert before.arenas > 2
    assert after.arenas == 2
    assert after.mapped >= before.mapped + 7_000_000


def test_what_the_environment_says_is_left_alone() -> None:
    assert allocated("steady", MALLOC_ARENA_MAX="4").arenas > 2
    assert allocated("steady", MALLOC_MMAP_THRESHOLD_="30000000").mapped < allocated("steady").mapped
