"""What logging costs the training loop: `run.log` and a row of ten, durable against SIGKILL, while the shipper sends.

    python benchmarks/run_log.py [--calls 20000] [--pace 0.0005]

Times are of single calls, in microseconds, with the record written to the journal before the call returns. `flood` calls as fast as it can;
`paced` leaves a pause between calls, as a training step does. A server in this process takes the events and throws them away.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from runherald.api import Intake


class Taker(BaseHTTPRequestHandler):
    """Takes every batch."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer that all is accepted."""
        events = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])), type=list[msgspec.Raw])
        body = msgspec.json.encode(Intake(accepted=len(events)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def measure(call: Callable[[int], None], calls: int, pace: float) -> tuple[float, float, float]:
    """Return p50, p99 and maximum of a call, in microseconds."""
    times: list[int] = []
    for index in range(calls):
        begin = time.perf_counter_ns()
        call(index)
        times.append(time.perf_counter_ns() - begin)
        if pace:
            time.sleep(pace)
    times.sort()
    return times[calls // 2] / 1000, times[calls * 99 // 100] / 1000, times[-1] / 1000


def main() -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--pace", type=float, default=0.0005)
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="runherald-bench-", dir=Path.home()) as home:
        os.environ["RUNHERALD_HOME"] = home
        os.environ["RUNHERALD_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
        report(options.calls, options.pace)
    server.shutdown()


def report(calls: int, pace: float) -> None:
    """Run each case on a run of its own and print a line."""
    begin = time.perf_counter()
    from runherald import Experiment, Run, Workspace

    imported = time.perf_counter() - begin
    machine = f"{platform.node()}: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}")
    print(f"from runherald import Workspace, Experiment, Run: {imported * 1000:.0f} ms (msgspec was there)")
    print(f"{'case':<28}{'calls':>8}{'p50 us':>10}{'p99 us':>10}{'max us':>10}")
    experiment = Experiment(Workspace(), "bench")
    columns: dict[str, Any] = {f"c{index}": index / 7 for index in range(10)}

    def scalar(run: Run) -> Callable[[int], None]:
        return lambda index: run.log("loss", index * 0.1)

    def stepped(run: Run) -> Callable[[int], None]:
        return lambda index: run.log("loss", index * 0.1, step=index)

    def row(run: Run) -> Callable[[int], None]:
        return lambda _: run.log_row("row", **columns)

    for name, make in (("log, one scalar", scalar), ("log, with a step", stepped), ("log_row of 10", row)):
        for mode, wait, count in (("flood", 0.0, calls), ("paced", pace, calls // 10)):
            with experiment.start_logging() as run:
                p50, p99, most = measure(make(run), count, wait)
            print(f"{name + ', ' + mode:<28}{count:>8}{p50:>10.1f}{p99:>10.1f}{most:>10.0f}")


if __name__ == "__main__":
    main()
