"""The embedded server as a process: how soon it answers, its memory, and how soon a failure is a mail."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from feed import run_events
from figure import Figure, of_rounds, percentile

from runherald.events import Event
from runherald.status import Status
from runherald.wire import encode_batch

STARTS = 3
RATE = 20
SECONDS = 10
BURST = 500
_BATCH = 200
IDLE_SECONDS = 3
_BOUND = 60.0


def figures() -> list[Figure]:
    """Measure starts on fresh and on existing data, memory when idle, and mails of failing runs at a modest rate."""
    fresh, again, memory = [], [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as folder:
            with _server(Path(folder)) as (seconds, _, _):
                fresh.append(seconds)
            with _server(Path(folder)) as (seconds, _, pid):
                again.append(seconds)
                time.sleep(IDLE_SECONDS)
                memory.append(_resident(pid))
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (_, url, _):
        delays = _delays(url)
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (_, url, _):
        burst = _burst(url)
    note = f"{RATE} failing runs a second for {SECONDS} s, into the built-in catcher; the budget is for 500 events/s"
    return [
        of_rounds("start to the first answer, fresh folder", fresh, "s", 3),
        of_rounds("start to the first answer, existing data", again, "s", 3),
        of_rounds("resident memory, idle", memory, "MiB"),
        Figure("event to SMTP's 250, p50", percentile(delays, 50) * 1e3, "ms", 300, note, min(delays) * 1e3, max(delays) * 1e3),
        Figure("event to SMTP's 250, p99", percentile(delays, 99) * 1e3, "ms", 1_000, f"of {len(delays)} mails"),
        Figure(f"{BURST} runs fail at once: mails a second", BURST / max(burst), "mails/s", 500, "until the last one's 250"),
    ]


def _delays(url: str) -> list[float]:
    """Let runs fail at a steady rate; return the seconds from each failure to the acceptance of its mail."""
    begun = time.monotonic()
    for number in range(RATE * SECONDS):
        time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        _send(url, run_events(Status.FAILED))
    return _accepted(url, RATE * SECONDS)


def _burst(url: str) -> list[float]:
    """Let many runs fail at once; return the seconds from each failure to the acceptance of its mail."""
    events = [event for _ in range(BURST) for event in run_events(Status.FAILED)]
    for first in range(0, len(events), _BATCH):
        _send(url, events[first : first + _BATCH])
    return _accepted(url, BURST)


def _send(url: str, events: Sequence[Event]) -> None:
    request = Request(f"{url}/api/v1/events", encode_batch(events), {"Content-Type": "application/cloudevents-batch+json"})
    with urlopen(request, timeout=30) as reply:
        reply.read()


def _accepted(url: str, count: int) -> list[float]:
    deadline = time.monotonic() + _BOUND
    accepted: list[dict[str, str]] = []
    while time.monotonic() < deadline:
        notices = _get(f"{url}/api/v1/notices?limit=1000")
        accepted = [each for each in notices if each["state"] == "accepted"]
        if len(accepted) >= count:
            return [(_time(each["done_time"]) - _time(each["event_time"])).total_seconds() for each in accepted]
        time.sleep(0.5)
    raise TimeoutError(f"{len(accepted)} of {count} mails were accepted within {_BOUND:.0f} s of the last failure")


@contextmanager
def _server(folder: Path) -> Iterator[tuple[float, str, int]]:
    """Start a server; give the seconds to its first answer, where it is, and its process id."""
    about = folder / "server.json"
    arguments = ["up", "--data", str(folder), "--port", "0", "--catch-mail", "--mail-to", "you@example.org"]
    with (folder / "output").open("ab") as output:
        begun = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "runherald", *arguments], stdout=output, stderr=output)
    try:
        while True:
            if child.poll() is not None or time.perf_counter() - begun > _BOUND:
                raise RuntimeError(f"the server did not start: {(folder / 'output').read_text()[-500:]}")
            if about.exists():
                url = str(json.loads(about.read_text())["url"])
                if _answers(url):
                    break
            time.sleep(0.005)
        yield time.perf_counter() - begun, url, child.pid
    finally:
        child.terminate()
        child.wait(30)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/healthz", timeout=5) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def _get(url: str) -> Any:
    with urlopen(url, timeout=30) as reply:
        return json.load(reply)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
