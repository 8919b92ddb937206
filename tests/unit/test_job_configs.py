"""What is submitted and where: configurations, their files, compute targets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runherald import ComputeTarget, Environment, RunConfiguration, ScriptRunConfig, Workspace
from runherald.errors import InvalidInput, SettingsError
from runherald.producers.errors import NotFound, Unsupported


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("RUNHERALD_COMPUTE", "gpu=1,cpu=4")
    opened = Workspace()
    yield opened
    opened.session.close()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    tmp_path.joinpath("train.py").touch()
    return tmp_path


def untyped(what: object) -> Any:
    """Return what is called as scripts without types call it."""
    return what


submitted = untyped(ScriptRunConfig)


def test_a_script_is_run_by_the_environments_python_with_arguments_as_texts(code: Path) -> None:
    assert ScriptRunConfig(code, "train.py", ["--lr", 0.1, Path("a b")]).program == (sys.executable, "train.py", "--lr", "0.1", "a b")


def test_a_command_is_a_list_as_it_is_or_a_text_for_the_shell(code: Path) -> None:
    assert ScriptRunConfig(code, command=["echo", 1]).program == ("echo", "1")
    assert ScriptRunConfig(code, command="echo $HOME; sleep 1").program == ("/bin/sh", "-c", "echo $HOME; sleep 1")
    assert ScriptRunConfig(code, command="echo", arguments=["a b"]).program == ("/bin/sh", "-c", "echo 'a b'")
    assert ScriptRunConfig(code, command="python -m x").script_name == "python"


def test_what_a_configuration_says_is_what_runs_unless_the_call_says_more(code: Path) -> None:
    given = RunConfiguration(script="train.py", arguments=["a"])
    given.target = "gpu"
    given.environment_variables = {"SEED": "1"}
    config = ScriptRunConfig(code, run_config=given)
    assert (config.script, config.arguments, config.run_config.target) == ("train.py", ["a"], "gpu")
    more = ScriptRunConfig(code, arguments=["b"], run_config=given, compute_target="cpu", max_run_duration_seconds=60)
    assert (more.arguments, more.run_config.target, more.run_config.max_run_duration_seconds) == (["b"], "cpu", 60)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda code: submitted(code), "pass either script"),
        (lambda code: submitted(code, "train.py", command="true"), "pass either script"),
        (lambda code: submitted(code / "none", "train.py"), "is no folder"),
        (lambda code: submitted(3, "train.py"), "source_directory is a int"),
        (lambda code: submitted(code, "train.py", "a"), "arguments is a str; pass a list"),
        (lambda code: submitted(code, "train.py", [object()]).program, "holds a object"),
        (lambda code: submitted(code, "train.py", max_run_duration_seconds=-1), "0 or above"),
        (lambda code: submitted(code, "train.py", run_config={}), "pass a RunConfiguration"),
        (lambda code: submitted(code, "train.py", environment="conda"), "pass an Environment"),
        (lambda code: submitted(code, "train.py", compute_target=3), "pass a compute target or its name"),
        (lambda code: RunConfiguration.load(code, "none"), "RunConfiguration.save writes one"),
        (lambda code: RunConfiguration().save(code), "pass name="),
        (lambda code: untyped(Environment)(3), "name is a int"),
    ],
)
def test_what_cannot_be_taken_is_named(code: Path, make: Callable[[Path], object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make(code)


@pytest.mark.parametrize("name", ["distributed_job_config", "resume_from", "docker_runtime_config"])
def test_what_has_no_meaning_says_what_to_do(code: Path, name: str) -> None:
    with pytest.raises(Unsupported, match=f"{name}: .+"):
        submitted(code, "train.py", **{name: object()})


def test_several_nodes_and_installed_packages_are_refused(code: Path) -> None:
    config = RunConfiguration()
    config.node_count = 2
    with pytest.raises(Unsupported, match="one machine"):
        ScriptRunConfig(code, "train.py", run_config=config)
    with pytest.raises(Unsupported, match="interpreter_path"):
        RunConfiguration(conda_dependencies=object())
    with pytest.raises(Unsupported, match="nothing is built"):
        Environment.from_conda_specification("e", "env.yml")


def test_a_configuration_is_saved_and_read_again_with_what_means_nothing_here(tmp_path: Path) -> None:
    config = RunConfiguration("train.py", ["--lr", 0.1])
    config.target = "gpu"
    config.environment.environment_variables = {"SEED": "1"}
    untyped(config).docker.use_docker = True
    config.save(tmp_path, "big")
    file = tmp_path / ".azureml" / "big.runconfig"
    file.write_text(file.read_text() + "hdi:\n  yarnDeployMode: cluster\n")
    again = RunConfiguration.load(tmp_path, "big")
    assert (again.script, again.arguments, again.target, again.environment_variables) == ("train.py", ["--lr", "0.1"], "gpu", {"SEED": "1"})
    again.save(file)
    assert "useDocker: true" in file.read_text()
    assert "yarnDeployMode: cluster" in file.read_text()
    RunConfiguration.delete(tmp_path, "big")
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "is to hold keys and values"),
        ("script: [1]\n", "script: is a list; write a text"),
        ("arguments: {a: 1}\n", "arguments: is a dict; write a list"),
        ("maxRunDurationSeconds: soon\n", "maxRunDurationSeconds: is a str; write a number"),
        ("environment: 3\n", "environment: is a int; write keys and values"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_named_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.runconfig"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=said) as caught:
        RunConfiguration.load(file)
    assert str(file) in str(caught.value)


def test_targets_come_from_settings_and_are_made(workspace: Workspace) -> None:
    targets = workspace.compute_targets
    assert {name: target.slots for name, target in targets.items()} == {"cpu": 4, "gpu": 1, "local": 1}
    assert repr(targets) == str({name: targets[name] for name in ("cpu", "gpu", "local")}), (
        "printed as the dictionary that it is in azureml-core"
    )
    assert targets.create("wide", slots=8).slots == 8
    assert ComputeTarget.create(workspace, "local", ComputeTarget.local_configuration(slots=2)).slots == 2
    assert len(workspace.compute_targets) == 4
    targets["wide"].delete()
    assert "wide" not in targets
    targets["local"].delete()
    assert targets["local"].slots == 1


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda w: w.compute_targets.create("gpu", slots=2), InvalidInput, "change it there"),
        (lambda w: w.compute_targets.create("a/b"), InvalidInput, "name is to have"),
        (lambda w: w.compute_targets.create("a", slots=0), InvalidInput, "from 1 to 1024"),
        (lambda w: w.compute_targets.delete("none"), NotFound, "there are cpu, gpu, local"),
        (lambda w: w.compute_targets.delete("local"), InvalidInput, "always there"),
        (lambda w: ComputeTarget(w, "none"), NotFound, "runherald compute create"),
        (lambda w: ComputeTarget.create(w, "a", object()), InvalidInput, "parts of this machine"),
    ],
)
def test_what_is_wrong_with_a_target_is_said(
    workspace: Workspace, change: Callable[[Workspace], object], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        change(workspace)


@pytest.mark.parametrize("value", ["gpu", "gpu=0", "gpu=2000", "a b=1", "gpu=1,gpu=2"])
def test_a_setting_that_names_no_targets_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RUNHERALD_COMPUTE", value)
    with pytest.raises(SettingsError, match=r"RUNHERALD_COMPUTE: .*NAME=SLOTS"):
        Workspace()


def test_two_configs_of_one_run_configuration_keep_their_own_targets(code: Path) -> None:
    shared = RunConfiguration()
    shared.environment_variables["SEED"] = "1"
    first, second = (ScriptRunConfig(code, "train.py", run_config=shared, compute_target=name) for name in ("small", "large"))
    timed = ScriptRunConfig(code, "train.py", run_config=shared, max_run_duration_seconds=60)
    assert (first.run_config.target, second.run_config.target, shared.target) == ("small", "large", "local")
    assert (timed.run_config.max_run_duration_seconds, shared.max_run_duration_seconds) == (60, RunConfiguration().max_run_duration_seconds)
    assert first.run_config.environment_variables == {"SEED": "1"}
    assert ScriptRunConfig(code, "train.py", run_config=shared).run_config is shared
