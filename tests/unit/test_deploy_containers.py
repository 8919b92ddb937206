"""The container files, as far as they can be checked without an engine."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from runherald.cli import options, serving
from runherald.cli.main import build_parser
from runherald.deploy.local_kafka import VERSION
from runherald.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
EXAMPLE = (ROOT / "deploy" / "compose.env.example").read_text()
FILLED_IN = {**dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE)), "CLICKHOUSE_PASSWORD": "c1", "QUERY_PASSWORD": "q1"}
JOBS = {name for name, service in SERVICES.items() if service["restart"].startswith("on-failure")}
OURS = ["topics", "migrate", "query-user", "server", "worker"]


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """Put values where compose puts them: `${NAME:-default}` and `${NAME:?message}`; an empty one counts as not said."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        assert name in values, f"{name} is not in compose.env.example"
        assert values[name] or kind != "?", rest
        return values[name] or rest

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that a service of ours runs with, when the example is filled in."""
    for key, text in SERVICES[name].get("environment", {}).items():
        monkeypatch.setenv(key, filled_in(str(text), FILLED_IN))
    command = SERVICES[name]["command"]
    if command[0] != "runherald":
        return options.settings_of(build_parser().parse_args(["migrate"]))
    args = build_parser().parse_args(command[1:])
    if command[1] in ("up", "worker"):
        return serving.settings_of(args)
    return options.settings_of(args, **{key: getattr(args, key, None) for key in ("log", "history")})


def test_there_is_everything_that_a_larger_installation_needs() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "topics", "migrate", "query-user", "server", "worker", "mail"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_and_services_bounded(name: str) -> None:
    service = SERVICES[name]
    _, _, tag = service["image"].rpartition(":")
    assert tag
    assert tag != "latest"
    assert service["mem_limit"]
    assert service["cpus"]
    if name not in JOBS | {"worker"}:
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_who_waits_for_whom_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        condition = wait["condition"]
        assert condition == ("service_completed_successfully" if other in JOBS else "service_healthy")
        assert other in SERVICES


@pytest.mark.parametrize("name", OURS)
def test_command_lines_are_ones_that_the_command_line_takes(name: str) -> None:
    program, *words = SERVICES[name]["command"]
    if program == "runherald":
        assert callable(build_parser().parse_args(words).run)
    else:
        assert (ROOT / Path(*words[-1].split("."))).with_suffix(".py").exists()


@pytest.mark.parametrize("name", OURS)
def test_addresses_are_of_services_that_it_waits_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(name, monkeypatch)
    hosts = {urlsplit(url).hostname for url in (settings.log, settings.history, settings.query_history, settings.mail.smtp)} - {None}
    assert hosts
    assert hosts <= set(SERVICES)
    assert hosts - {"mail"} <= waited_for(name)


def test_servers_and_workers_share_log_and_history(monkeypatch: pytest.MonkeyPatch) -> None:
    server, worker = (settings_of(name, monkeypatch) for name in ("server", "worker"))
    assert (server.log, server.history) == (worker.log, worker.history) == ("kafka://kafka:9092", "http://runherald:c1@clickhouse:8123")
    assert (worker.mail.to, worker.mail.smtp) == (("you@example.org",), "smtp://mail:1025?starttls=never")
    assert server.host == "0.0.0.0"
    assert SERVICES["server"]["ports"] == [f"127.0.0.1:{server.port}:{server.port}"]


def test_versions_are_those_that_are_tested() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"
    _, _, clickhouse = SERVICES["clickhouse"]["image"].rpartition(":")
    assert tuple(map(int, clickhouse.split("."))) >= (26, 8)  # users' queries are parsed by it from there on


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_data_outlives_containers() -> None:
    kept = {service["volumes"][0].split(":")[0] for service in SERVICES.values() if "volumes" in service}
    assert kept == set(COMPOSE["volumes"]) == {"kafka", "clickhouse", "server"}


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no `docker compose` here: the file is checked as YAML alone")
    (tmp_path / "env").write_text("".join(f"{key}={value}\n" for key, value in FILLED_IN.items()))
    command = [docker, "compose", "--env-file", str(tmp_path / "env"), "-f", str(ROOT / "deploy" / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_no_secret_stands_in_a_file() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    for value in re.findall(r"^\s+\w*(?:PASSWORD|TOKEN): (\S+)", text, re.MULTILINE):
        assert value.startswith("${")
    assert re.findall(r"^(\w*PASSWORD|RUNHERALD_TOKEN)=(.+)$", EXAMPLE, re.MULTILINE) == []
    for service in SERVICES.values():
        assert "PASSWORD" not in str(service.get("command", ""))


def test_passwords_must_be_said() -> None:
    for name in ("CLICKHOUSE_PASSWORD", "QUERY_PASSWORD"):
        with pytest.raises(AssertionError, match=r"set it in compose\.env"):
            filled_in((ROOT / "deploy" / "compose.yaml").read_text(), {**FILLED_IN, name: ""})


def test_what_the_image_copies_is_there() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert let_through(source), f"{source} is kept back by .dockerignore"


@pytest.mark.parametrize("path", [".git/config", ".venv/pyvenv.cfg", "deploy/compose.env", "tests/conftest.py", "data/server.json"])
def test_what_the_image_does_not_need_stays_outside(path: str) -> None:
    assert not let_through(path)


def test_everything_in_the_image_is_known_by_its_hash() -> None:
    installs = re.findall(r"pip (?:install|sync) [^\n]*", DOCKERFILE)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-deps" in install  # the last is our own wheel
    for lock in ("requirements.lock", "deploy/build.lock"):
        for pinned in re.findall(r"^\S+==[^\n]*(?:\n    [^\n]*)*", (ROOT / lock).read_text(), re.MULTILINE):
            assert "--hash=sha256:" in pinned


def test_the_image_does_not_run_as_root() -> None:
    *_, user = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0


def waited_for(name: str) -> set[str]:
    """Return the services that are up before this one, whether it names them or those it names do."""
    named = SERVICES[name].get("depends_on", {})
    return set(named).union(*map(waited_for, named))


def let_through(path: str) -> bool:
    """Return whether .dockerignore lets a path into the build: the last line that fits it or a folder above it says."""
    through = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        above = [path, *(str(folder) for folder in Path(path).parents)]
        if any(fnmatch.fnmatch(each, pattern) for each in above):
            through = line.startswith("!")
    return through


def test_the_wheel_holds_the_parts_as_folders_with_what_they_read(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or shutil.which("uv")
    if uv is None:
        pytest.skip("no uv to build a wheel with: `make` installs it")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)], check=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for expected in (
        "runherald/py.typed",
        "runherald/producers/run/run.py",
        "runherald/sinks/migrations/0001_run_history.sql",
        "runherald/alerts/templates/run.html.j2",
        "runherald/studio/static/studio.css",
        "runherald/studio/templates/run.html",
    ):
        assert expected in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"runherald"}
