"""The container files, as far as they can be checked without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from runherald.cli.main import build_parser

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
JOBS = {name for name, service in SERVICES.items() if service["restart"] == "no"}


def test_there_is_everything_that_a_larger_installation_needs() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "topics", "migrate", "query-user", "server", "worker", "mail"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_and_services_bounded(name: str) -> None:
    service = SERVICES[name]
    _, _, tag = service["image"].rpartition(":")
    assert tag
    assert tag != "latest"
    if name not in JOBS:
        assert service["mem_limit"]
    if name not in JOBS | {"worker"}:
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_who_waits_for_whom_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        condition = wait["condition"]
        assert condition == ("service_completed_successfully" if other in JOBS else "service_healthy")
        assert other in SERVICES


@pytest.mark.parametrize("name", ["topics", "migrate", "server", "worker"])
def test_command_lines_are_ones_that_the_command_line_takes(name: str) -> None:
    words: list[str] = SERVICES[name]["command"]
    if words[0] == "sh":
        words = re.sub(r"\s*\|.*", "", words[-1]).replace("'", "").split()
    assert words[0] == "runherald"
    assert callable(build_parser().parse_args(words[1:]).run)


def test_no_secret_stands_in_a_file() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    for value in re.findall(r"^\s+\w*PASSWORD: (\S+)", text, re.MULTILINE):
        assert value.startswith("${")
    example = (ROOT / "deploy" / "compose.env.example").read_text()
    assert re.findall(r"^(\w*PASSWORD|RUNHERALD_TOKEN)=(.+)$", example, re.MULTILINE) == []


def test_what_the_image_copies_is_there() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    assert "USER runherald" in DOCKERFILE


def test_the_wheel_holds_the_parts_as_folders_with_what_they_read(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or shutil.which("uv")
    if uv is None:
        pytest.skip("no uv to build a wheel with: `make` installs it")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)], check=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for expected in (
        "runherald/py.typed",
        "runherald/producers/run.py",
        "runherald/sinks/migrations/0001_run_history.sql",
        "runherald/alerts/templates/run.html.j2",
        "runherald/studio/static/studio.css",
        "runherald/studio/templates/run.html",
    ):
        assert expected in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"runherald"}
