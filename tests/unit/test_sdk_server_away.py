"""A server that is away keeps nobody from beginning a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runherald import Experiment, Run, Workspace


def test_a_child_of_a_run_begun_elsewhere_begins_while_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    parent = Run(Experiment(Workspace(), "away"), "begun-elsewhere")
    with parent.child_run(name="child") as child:
        child.log("loss", 1.0)
    assert child.root_run_id == "begun-elsewhere"
    assert any((tmp_path / "journals").rglob("*")), "what was logged waits in the journal"


def test_a_childs_root_is_read_from_the_journal_of_the_process_that_began_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    script = (
        "import os\n"
        "from runherald import Experiment, Workspace\n"
        "root = Experiment(Workspace(), 'away').start_logging(run_id='root')\n"
        "root.child_run(run_id='middle').child_run(run_id='parent')\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    workspace = Workspace()
    attached = Run(Experiment(workspace, "away"), "parent")
    attached.log("loss", 1.0)  # a journal of the parent that does not begin with its creation
    assert attached.child_run().root_run_id == "root"
    workspace.session.close()


def test_the_thread_that_sends_imports_nothing_lest_a_fork_leave_half_of_it_to_a_child(tmp_path: Path, free_port: int) -> None:
    script = (
        "import sys\n"
        "from runherald import Experiment, Workspace\n"
        f"workspace = Workspace(url='http://127.0.0.1:{free_port}')\n"
        "before = set(sys.modules)\n"
        "with Experiment(workspace, 'away').start_logging() as run:\n"
        "    run.log('loss', 1.0)\n"
        "print(sorted(set(sys.modules) - before - {'getpass', 'pwd', 'termios'}))\n"  # a run's beginning needs these, in its own thread
    )
    environment = {**os.environ, "RUNHERALD_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n"


def test_kafka_is_imported_before_the_thread_that_sends_needs_it() -> None:
    script = "import sys\nfrom runherald.producers.shipping.kafka_transport import KafkaTransport\nKafkaTransport('kafka://h:1')\nsys.modules['kafka.producer']"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_what_a_request_needs_is_imported_before_a_thread_could_be_forked_away_from_it() -> None:
    script = (
        "import sys\n"
        "from runherald.producers.server.connection import Connection\n"
        "Connection('http://localhost:1', '')\n"
        "assert {'http.client', 'encodings.idna'} <= set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
