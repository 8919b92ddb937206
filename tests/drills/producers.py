"""Producer processes under drill: killed and replaced, frozen and thawed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.drills.ledger import Said, read_ledgers
from tests.server_process import spawn

FAULTS = ("producer-kill", "producer-term", "producer-freeze")
_END_SECONDS = 30.0


class Producers:
    """Some producers that log all the time, each with a ledger.

    Attributes:
        killed: how many were ended by a signal.
    """

    def __init__(self, folder: Path, environments: Sequence[Mapping[str, str]], *, count: int, rate: float, seed: int) -> None:
        """Take where things go and how much of it; the environments are taken in turn."""
        self.killed = 0
        self._folder = folder
        self._environments = environments
        self._rate = rate
        self._seed = seed
        self._count = count
        self._stop = folder / "stop"
        self._running: list[subprocess.Popen[bytes]] = []
        self._begun = 0

    def start(self) -> None:
        """Start them all."""
        self._running = [self._begin() for _ in range(self._count)]

    def strike(self, fault: str, lasts: float, draw: float) -> None:
        """End one with SIGKILL or SIGTERM, and let another take its place; or stop one where it is for so many seconds."""
        index = int(draw * len(self._running))
        process = self._running[index]
        if fault == "producer-freeze":
            process.send_signal(signal.SIGSTOP)
            time.sleep(lasts)
            process.send_signal(signal.SIGCONT)
            return
        process.send_signal(signal.SIGKILL if fault == "producer-kill" else signal.SIGTERM)
        process.wait(_END_SECONDS)
        self.killed += 1
        self._running[index] = self._begin()

    def finish(self, bound: float) -> None:
        """Let each end its run, and wait for it.

        Raises:
            AssertionError: one did not end in time, or failed: a training must not die of what it logs to.
        """
        self._stop.touch()
        for process in self._running:
            status = process.wait(bound)
            assert status == 0, f"a producer ended with status {status}: {self.output()[-3000:]}"

    def sync(self) -> None:
        """Send what killed ones left in their journals.

        Raises:
            AssertionError: some of it could not be sent.
        """
        for environment in self._environments:
            command = [sys.executable, "-m", "runherald", "sync", "-o", "json"]
            done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, f"sync ended with status {done.returncode}: {done.stderr[-2000:]}"

    def output(self) -> str:
        """Return what they printed."""
        return (self._folder / "producers.log").read_text()

    def off_disk(self) -> frozenset[str]:
        """Return the runs of which the SDK said that it could not write them to the journal, and that a kill would lose them."""
        return frozenset(re.findall(r"journal_not_on_disk path=\S*/([^/~\s]+)~", self.output()))

    def said(self) -> Mapping[str, Said]:
        """Return what they said that they logged."""
        return read_ledgers(sorted(self._folder.glob("ledger-*")))

    def close(self) -> None:
        """End whatever is left."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _begin(self) -> subprocess.Popen[bytes]:
        self._begun += 1
        ledger = self._folder / f"ledger-{self._begun:05}"
        arguments = [sys.executable, "-m", "tests.drills.training", str(ledger), str(self._stop), str(self._seed * 10_000 + self._begun)]
        environment = self._environments[self._begun % len(self._environments)]
        return spawn([*arguments, str(self._rate)], environment, self._folder / "producers.log")
