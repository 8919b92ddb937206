"""The demo as a newcomer runs it: embedded, and on Kafka with two Faust workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runherald.deploy.local_kafka import LocalKafka

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(DEMO), *arguments], capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.timeout(300)
def test_the_embedded_demo_shows_runs_mails_and_queries(tmp_path: Path) -> None:
    shown(demo("--data", str(tmp_path / "demo")))


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_the_same_scenario_on_kafka_with_two_workers(tmp_path: Path, kafka: LocalKafka) -> None:
    # The fixture says loudly where no Kafka can be had; the demo starts one of its own.
    assert kafka.url
    shown(demo("--log", "kafka", "--data", str(tmp_path / "demo")))


def test_the_demo_says_what_is_wrong_and_ends_with_another_status(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO), "--data", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin", "RUNHERALD_LOG": "carrier-pigeon"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "The demo is not as it should be" in done.stdout
    assert "server stopped with status 2" in done.stdout


def shown(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    for piece in (
        "digits sweep",
        "lost_contact",
        "Canceled",
        "Failed: digits/hinge",
        "TimeGenerated",
        "best_accuracy",
    ):
        assert piece in done.stdout, f"the demo does not show {piece!r}:\n{done.stdout}"
    assert "All as it should be" in done.stdout
