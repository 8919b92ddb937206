"""The main job from end to end: a training script, its history, and mails that say why a run died.

Starts a server with a data folder of its own, runs the sweep of `digits_sweep.py` (one candidate fails, one is killed, one is cancelled),
shows the runs, the mails and two queries, checks that all is as it should be, and stops. Exit status 0 only if it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
SWEEP = HERE / "digits_sweep.py"
MAIL_TO = "you@example.org"
LEASE_SECONDS = 3.0
GRACE_SECONDS = 3.0
RUNHERALD = (sys.executable, "-m", "runherald")

QUERIES = (
    (
        "the best accuracy of each run, from the view `metrics`",
        "SELECT r.display_name, r.status, max(m.value) AS best_accuracy, count() AS epochs "
        "FROM metrics AS m JOIN runs AS r ON r.run_id = m.run_id "
        "WHERE m.name = 'accuracy' GROUP BY r.display_name, r.status ORDER BY best_accuracy DESC",
    ),
    (
        "what went wrong, from the view that has Azure's name and columns",
        "SELECT TimeGenerated, Status, Message FROM AmlRunStatusChangedEvent "
        "WHERE Status IN ('Failed', 'NotResponding', 'Canceled') ORDER BY TimeGenerated",
    ),
)

NEXT = f"""
[bold]To keep a server and use it from your own script[/]
  make up ARGS='--mail-to {MAIL_TO} --smtp smtp://user:password@mail.example.org:587'
  then in the script, run with .venv/bin/python:
      from runherald import Experiment, Workspace
      with Experiment(Workspace(), "my-experiment").start_logging() as run:
          run.log("loss", 0.1)"""

T = TypeVar("T")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)


class Unexpected(Exception):
    """Something is not as it should be."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    options = parse(arguments)
    data = options.data.resolve()
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            url = stack.enter_context(parts(options.log, data))
            environment = {
                **os.environ,
                "RUNHERALD_URL": url,
                "RUNHERALD_HOME": str(data / "home"),
                "RUNHERALD_LEASE_SECONDS": str(LEASE_SECONDS),
            }
            run_the_sweep(environment, data)
            show(environment, url)
            check(environment, url)
    except Unexpected as error:
        console.print("\n[bold red]The demo is not as it should be:[/]", end=" ")
        console.print(str(error), markup=False, soft_wrap=True)
        console.print(f"What the parts said is in {data}/*.log", soft_wrap=True)
        return 1
    console.print(f"\nAll as it should be, in {time.monotonic() - started:.0f} s. The data is in {data}.", soft_wrap=True)
    if options.log == "embedded":
        again = f"{Path(sys.executable).parent / 'runherald'} up --data {data / 'server'} --catch-mail"
        console.print(f"\n[bold]To look at these runs and mails in a browser[/]\n  {again}", soft_wrap=True)
    console.print(NEXT)
    return 0


@contextmanager
def parts(log: str, data: Path) -> Iterator[str]:
    """Start what the demo needs and give the server's URL: one process when embedded; Kafka, ClickHouse, server, two workers otherwise."""
    say(f"starting {'one server process' if log == 'embedded' else 'Kafka, ClickHouse, a server and two Faust workers'}")
    mail = ["--mail-to", MAIL_TO, "--grace-seconds", str(GRACE_SECONDS)]
    with ExitStack() as stack:
        connections: list[str] = []
        queries: list[str] = []
        if log == "kafka":
            from runherald.deploy.local_clickhouse import LocalClickHouse
            from runherald.deploy.local_kafka import LocalKafka

            kafka = stack.enter_context(LocalKafka(data / "kafka"))
            clickhouse = stack.enter_context(LocalClickHouse(data / "clickhouse"))
            connections = ["--log", kafka.url, "--history", clickhouse.url]
            queries = ["--query-history", clickhouse.url]
            command("topics", "create", "--log", kafka.url)
            command("migrate", "--history", clickhouse.url)
        server = data / "server"
        server.mkdir()
        running = stack.enter_context(
            process("server", data, "up", "--data", str(server), "--port", "0", "--catch-mail", *connections, *queries, *mail)
        )
        about = wait("the server's first answer", lambda: running() or read_json(server / "server.json"), 60)
        if log == "kafka":
            for number in (1, 2):
                worker = ("worker", *connections, *mail, "--smtp", about["smtp"], "--public-url", about["url"])
                stack.enter_context(process(f"worker-{number}", data, *worker))
        say(f"the server answers on {about['url']}")
        yield str(about["url"])


def run_the_sweep(environment: Mapping[str, str], data: Path) -> None:
    """Run the training, kill one candidate, cancel another, and wait for the end."""
    say("training: a sweep of six candidates, each a run of its own")
    with (data / "sweep.log").open("wb") as output:
        sweep = subprocess.Popen(
            [sys.executable, str(SWEEP), "--long"], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        killed, cancelled = wait("two runs that train for long", lambda: long_runs(environment, data), 120)
        say(f"killing process {killed['pid']} ({killed['name']}) with SIGKILL, as a machine short of memory would")
        os.kill(killed["pid"], signal.SIGKILL)
        say(f"cancelling {cancelled['name']} from the command line")
        command("run", "cancel", cancelled["run_id"], environment=environment)
        try:
            if sweep.wait(120) != 0:
                raise Unexpected(f"the sweep ended with status {sweep.returncode}; see {data / 'sweep.log'}")
        except subprocess.TimeoutExpired:
            raise Unexpected("the sweep did not end within 120 s") from None
    finally:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)
            sweep.wait()
    say("waiting for the verdict on the killed run: its lease must run out first")
    wait("an end of every run", lambda: all(run["status"] in ("Completed", "Failed", "Canceled") for run in runs(environment)), 60)


def show(environment: Mapping[str, str], url: str) -> None:
    """Print the runs, the mails and two queries."""
    console.print("\n[bold]The runs[/]  (runherald run list)")
    command("run", "list", "-o", "table", environment=environment, show=True)
    console.print("\n[bold]The mails[/]")
    table = Table("to", "subject", "seconds from event to acceptance")
    for notice in wait("the mails", lambda: settled_notices(url), 60):
        table.add_row(notice["recipient"], notice["subject"], f"{seconds(notice):.2f}")
    console.print(table)
    for title, query in QUERIES:
        console.print(f"\n[bold]A query:[/] {title}\n  {query}", soft_wrap=True)
        command("query", query, "-o", "table", environment=environment, show=True)


def check(environment: Mapping[str, str], url: str) -> None:
    """Raise `Unexpected` where the runs, metrics or mails are not what the sweep did."""
    by_name = {run["display_name"]: run for run in runs(environment)}
    expected = {
        "digits sweep": ("Completed", ""),
        "log_loss lr=0.001": ("Completed", ""),
        "log_loss lr=0.01": ("Completed", ""),
        "log_loss lr=0.1": ("Completed", ""),
        "hinge lr=0.01": ("Failed", "code_error"),
    }
    for name, (status, cause) in expected.items():
        run = by_name.get(name) or {}
        if (run.get("status"), run.get("cause") or "") != (status, cause):
            raise Unexpected(f"run {name!r} is {run.get('status', 'missing')} ({run.get('cause', '')}) instead of {status} ({cause})")
    ends = sorted((run["status"], run["cause"]) for name, run in by_name.items() if name not in expected)
    if ends != [("Canceled", "user"), ("Failed", "lost_contact")]:
        raise Unexpected(f"the cancelled and the killed run ended as {ends}")
    counts = answer(
        "SELECT r.display_name, count() FROM metrics AS m JOIN runs AS r ON r.run_id = m.run_id WHERE m.name = 'loss' GROUP BY 1",
        environment,
    )
    for name, count in counts:
        if name in expected and count != 60:
            raise Unexpected(f"run {name!r} has {count} points of its loss instead of 60")
    subjects = [notice["subject"] for notice in settled_notices(url) or []]
    for words in (("Failed", "hinge", "AttributeError"), ("Failed", "lost contact"), ("Completed", "digits sweep")):
        if not any(all(word.lower() in subject.lower() for word in words) for subject in subjects):
            raise Unexpected(f"no mail says {' … '.join(words)!r}; there are {subjects}")
    # The killed run is silent first, unless another process of the sweep finds it dead before its lease runs out.
    ((silent,),) = answer("SELECT count() FROM transitions WHERE status = 'NotResponding' AND accepted", environment)
    told = sum("NotResponding" in subject for subject in subjects)
    if told != silent:
        raise Unexpected(f"{told} mails say that a run is silent, and {silent} was; there are {subjects}")


def long_runs(environment: Mapping[str, str], data: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the two long runs with their process ids once both log metrics and all others have begun."""
    lines = (line.split(maxsplit=3) for line in (data / "sweep.log").read_text(errors="replace").splitlines())
    children = [{"run_id": words[1], "pid": int(words[2]), "name": words[3]} for words in lines if len(words) == 4 and words[0] == "child"]
    long = [child for child in children if child["name"].endswith(("lr=0.003", "lr=0.03"))]
    if len(long) < 2 or len(children) < 6:
        return None
    counts = dict(answer("SELECT run_id, count() FROM metrics GROUP BY run_id", environment))
    return (long[0], long[1]) if all(counts.get(child["run_id"], 0) > 20 for child in long) else None


def runs(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return all runs."""
    return list(json.loads(command("run", "list", "-o", "json", environment=environment)))


def answer(query: str, environment: Mapping[str, str]) -> list[list[Any]]:
    """Return the rows of a query."""
    return [list(row.values()) for row in json.loads(command("query", query, "-o", "json", environment=environment))]


def settled_notices(url: str) -> list[dict[str, Any]] | None:
    """Return the notices once none is pending and the parent's completion is among them."""
    with urlopen(f"{url}/api/v1/notices", timeout=10) as reply:
        notices: list[dict[str, Any]] = json.load(reply)
    done = all(notice["state"] != "pending" for notice in notices) and any("digits sweep" in notice["subject"] for notice in notices)
    lost = any("lost contact" in notice["subject"].lower() for notice in notices)
    return sorted(notices, key=lambda notice: str(notice["decided_time"])) if done and lost else None


def seconds(notice: Mapping[str, Any]) -> float:
    """Return how long it took from the event to the SMTP server's acceptance."""
    return (datetime.fromisoformat(notice["done_time"]) - datetime.fromisoformat(notice["event_time"])).total_seconds()


@contextmanager
def process(name: str, data: Path, *arguments: str) -> Iterator[Callable[[], None]]:
    """Run a part in the background, its output in a file; give a check that it still runs."""
    with (data / f"{name}.log").open("wb") as output:
        child = subprocess.Popen([*RUNHERALD, *arguments], stdout=output, stderr=output, start_new_session=True)

    def check_running() -> None:
        if child.poll() is not None:
            said = (data / f"{name}.log").read_text(errors="replace").strip().splitlines()
            raise Unexpected(f"{name} stopped with status {child.returncode}: {said[-1] if said else 'it said nothing'}")

    try:
        yield check_running
        check_running()
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def command(*arguments: str, environment: Mapping[str, str] | None = None, show: bool = False) -> str:
    """Run a command of runherald and return what it prints, or let it print; raise `Unexpected` when it fails."""
    sys.stdout.flush()
    # A command that is shown writes to the terminal itself: so it knows how wide that is, and its colours.
    output = None if show else subprocess.PIPE
    done = subprocess.run(
        [*RUNHERALD, *arguments], env=environment or os.environ, stdout=output, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise Unexpected(f"`runherald {' '.join(arguments)}` ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout or ""


def wait(what: str, probe: Callable[[], T | None], bound: float) -> T:
    """Return the first true answer of a probe; raise `Unexpected` after so many seconds."""
    deadline = time.monotonic() + bound
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.2)
    raise Unexpected(f"waited {bound:.0f} s for {what}")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a file's content, or nothing while it is not there."""
    return json.loads(path.read_text()) if path.exists() else None


def say(text: str) -> None:
    """Tell what happens."""
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--data", type=Path, default=Path(".demo"), help="a folder that is emptied first")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
