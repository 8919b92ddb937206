"""The deployment files replace parts in the order that upgrades ask for, one at a time, and give them the time to stop in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runherald.cli import server
from runherald.cli.main import build_parser
from runherald.streams import embedded_runner, faust_runner
from runherald.studio import lag_watch

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
WORKER_STOPS = 2 * faust_runner.STOP_SECONDS + 5
SERVER_STOPS = server._GRACE_SECONDS + lag_watch._STOP_SECONDS + embedded_runner.STOP_SECONDS


def found(kind: str, name: str = "runherald") -> dict[str, Any]:
    (one,) = [each for each in OBJECTS if each["kind"] == kind and each["metadata"]["name"].startswith(name)]
    return one


def pods() -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"] for each in OBJECTS if "template" in each.get("spec", {})]


def containers() -> list[dict[str, Any]]:
    return [each for pod in pods() for each in (*pod.get("initContainers", ()), *pod["containers"])]


def test_who_is_stopped_has_the_time_that_it_takes_at_most() -> None:
    seconds = {name: float(COMPOSE[name]["stop_grace_period"].removesuffix("s")) for name in ("server", "worker")}
    deployed = {name: found("Deployment", f"runherald-{name}")["spec"]["template"]["spec"] for name in seconds}
    for name, needs in (("server", SERVER_STOPS), ("worker", WORKER_STOPS)):
        assert seconds[name] > needs
        assert deployed[name]["terminationGracePeriodSeconds"] > needs


def test_the_schema_comes_first_then_the_server_then_workers() -> None:
    assert {"migrate", "topics"} <= waited_for("server")
    assert "server" in waited_for("worker")
    steps = [each["metadata"]["labels"]["step"] for each in OBJECTS]
    assert sorted(steps, key=["schema", "server", "workers"].index) == steps


def test_workers_are_replaced_one_at_a_time_the_new_one_first() -> None:
    worker, budget = found("Deployment", "runherald-worker")["spec"], found("PodDisruptionBudget")["spec"]
    assert worker["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert worker["minReadySeconds"] >= 20
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == worker["selector"]


def test_each_step_is_chosen_by_the_commands_at_the_top() -> None:
    text = (ROOT / "deploy" / "kubernetes.yaml").read_text()
    assert re.findall(r"^#   kubectl apply -l step=(\w+)", text, re.MULTILINE) == ["schema", "server", "workers"]
    assert found("Job")["spec"]["template"]["metadata"]["labels"]["step"] == "schema"


@pytest.mark.parametrize("container", containers(), ids=lambda container: container["name"])
def test_containers_run_what_the_command_line_takes(container: dict[str, Any]) -> None:
    program, *words = container["command"]
    assert program == "runherald"
    assert callable(build_parser().parse_args(words).run)
    assert container["image"] == COMPOSE["server"]["image"]
    assert container["resources"]["limits"]["memory"]


def test_no_pod_runs_as_root() -> None:
    assert [pod["securityContext"]["runAsNonRoot"] for pod in pods()] == [True] * 3


def waited_for(name: str) -> set[str]:
    others = set(COMPOSE[name].get("depends_on", ()))
    return others.union(*(waited_for(other) for other in others))
