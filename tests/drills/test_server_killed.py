"""SIGKILL of the embedded server in the middle of a sweep loses nothing and doubles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, spawn, wait_until

SWEEP = Path(__file__).parents[2] / "examples" / "digits_sweep.py"
EPOCHS = 60


@pytest.mark.timeout(240)
def test_a_killed_server_loses_no_event_and_doubles_none(tmp_path: Path, free_port: int) -> None:
    server = ServerProcess(tmp_path, free_port, "--catch-mail", "--mail-to", "operator@example.org")
    environment = {"RUNHERALD_URL": server.url, "RUNHERALD_HOME": str(tmp_path / "home")}
    with server:
        sweep = spawn([sys.executable, str(SWEEP)], environment, tmp_path / "sweep.log")
        try:
            # Three kills: early, in full swing, and again right after a restart.
            struck = 0
            for least_points in (20, 120, 200):
                wait_until(f"{least_points} points in history", partial(reached, server, least_points), 90)
                struck += sweep.poll() is None
                server.kill()
                server.start()
            assert struck >= 2, "the sweep had ended: there was nothing to lose"
            assert sweep.wait(120) == 0, (tmp_path / "sweep.log").read_text()[-3000:]
        finally:
            if sweep.poll() is None:
                sweep.kill()
                sweep.wait()
        # A candidate that ended while no server was there waited for 10 s; what it then still had waits in its journal.
        home = {**os.environ, **environment}
        subprocess.run([sys.executable, "-m", "runherald", "sync"], env=home, check=True, timeout=60, capture_output=True)
        wait_until("the end of every run in history", lambda: ended(server) == 5, 60)
        wait_until("every notice to be settled", lambda: settled(server), 60)

        # Three candidates train all their epochs; the fourth fails in its first, between two metrics.
        counts = Counter({(name, metric): count for name, metric, count in server.query(COUNTS)})
        assert counts == {
            **{(f"log_loss lr={rate}", metric): EPOCHS for rate in ("0.001", "0.01", "0.1") for metric in ("accuracy", "loss")},
            ("hinge lr=0.01", "accuracy"): 1,
            **{("digits sweep", metric): 1 for metric in ("candidates", "succeeded", "best_accuracy")},
        }
        steps = server.query("SELECT countDistinct(step) FROM metrics WHERE name = 'loss' GROUP BY run_id")
        assert steps == [[EPOCHS]] * 3
        statuses = Counter(run["status"] for run in server.get("/api/v1/runs")["runs"])
        assert statuses == {"Completed": 4, "Failed": 1}
        paths = server.query(
            "SELECT run_id, groupArray(status) FROM (SELECT * FROM transitions WHERE accepted ORDER BY revision) GROUP BY run_id"
        )
        for run_id, path in paths:
            assert len(path) == len(set(path)), f"{run_id} took a step twice: {path}"

        notices = server.get("/api/v1/notices")
        assert Counter(notice["state"] for notice in notices) == {"accepted": 2}, notices
        # A mail may come twice only if the kill fell between the SMTP server's 250 and our record of it: then it is the same message.
        identifiers = {mail["Message-ID"] for mail in server.mails()}
        assert len(identifiers) == 2
        assert server.stop() == 0


COUNTS = "SELECT r.display_name, m.name, count() FROM metrics AS m JOIN runs AS r ON r.run_id = m.run_id GROUP BY r.display_name, m.name"


def reached(server: ServerProcess, least_points: int) -> bool:
    return points(server) >= least_points


def points(server: ServerProcess) -> int:
    return int(server.query("SELECT count() FROM metrics")[0][0])


def ended(server: ServerProcess) -> int:
    return sum(run["status"] in ("Completed", "Failed", "Canceled") for run in server.get("/api/v1/runs")["runs"])


def settled(server: ServerProcess) -> bool:
    notices = server.get("/api/v1/notices")
    return len(notices) >= 2 and all(notice["state"] != "pending" for notice in notices)
