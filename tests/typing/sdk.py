"""What a user's type checker sees of the SDK. This file is checked (mypy, pyright), not run."""

from __future__ import annotations

from typing import Any, assert_type

from runherald import Experiment, Model, Run, Workspace


def train(workspace: Workspace) -> None:
    """Use what a training script uses."""
    experiment = Experiment(workspace, "digits")
    assert_type(workspace.experiments, dict[str, Experiment])
    with experiment.start_logging() as run:
        assert_type(run, Run)
        run.log("loss", 0.5, step=3)
        run.log_row("epoch", loss=0.5, accuracy=0.9)
        run.log_list("losses", [0.5, 0.4])
        run.log_table("table", {"x": [1, 2], "y": [0.1, 0.2]})
        run.tag("team", "vision")
        run.add_properties({"git": "abc"})
        with run.child_run("lr=0.1") as child:
            assert_type(child, Run)
            child.log("loss", 1)
    assert_type(run.id, str)
    assert_type(run.get_status(), str)
    assert_type(run.get_details(), dict[str, Any])
    assert_type(run.get_metrics(), dict[str, Any])
    assert_type(run.get_tags(), dict[str, str | None])
    assert_type(run.cancel_requested, bool)
    assert_type(run.register_model("digits-net", "outputs/net"), Model)
    assert_type(Model.list(workspace, "digits-net", latest=True), list[Model])
    assert_type(Model(workspace, "digits-net").download(), str)
    for each in run.get_children():
        assert_type(each, Run)


def misuse(run: Run) -> None:
    """Be told of mistakes before the script runs."""
    run.log(3, 0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run.log("loss")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    run.add_properties(["git"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run.id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
