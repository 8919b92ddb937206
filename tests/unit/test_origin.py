"""Which script a run says that it is of: a file, a notebook, or none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runherald.producers.origin import new_header
from runherald.producers.provenance.capture import script_folder

KERNEL = "/usr/lib/python3/site-packages/ipykernel_launcher.py"


def script_name() -> str:
    return new_header("digits", parent_run_id="", root_run_id="r", display_name="", description="", tags={}).script_name


@pytest.mark.parametrize(
    ("first", "notebook", "name"),
    [
        ("code/train.py", "", "train.py"),
        ("code/train.py", "/home/me/sweep.ipynb", "train.py"),  # a script that a notebook starts is a script
        (KERNEL, "/home/me/sweep.ipynb", "sweep.ipynb"),
        (KERNEL, "", ""),
        ("/opt/colab_kernel_launcher.py", "sweep.ipynb", "sweep.ipynb"),
        ("-c", "", ""),
        ("-m", "", ""),
        ("", "", ""),
    ],
)
def test_a_run_is_of_the_script_or_notebook_and_not_of_the_kernel(
    first: str, notebook: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [first])
    monkeypatch.setenv("JPY_SESSION_NAME", notebook)
    assert script_name() == name


def test_the_folder_is_the_notebooks_and_not_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweep.ipynb").touch()
    (tmp_path / "ipykernel_launcher.py").touch()
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "ipykernel_launcher.py")])
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "sweep.ipynb"))
    assert script_folder() == tmp_path
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert script_folder() == Path("/")
