"""The widget in a real JupyterLab, with a real kernel and a real browser."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.test_pages import browser, server  # noqa: F401  # fixtures
from tests.server_process import spawn, wait_until
from tests.studio_server import StudioServer

WAIT = 30_000
HOSTILE = "<script>window.owned = 1</script><img src=x onerror='window.owned = 2'>"
SHOW = f"""
import os
from pathlib import Path
Path("kernel").write_text(str(os.getpid()))
from runherald import Experiment, Workspace
from runherald.widgets import RunDetails
run = Experiment(Workspace(), "digits").start_logging(display_name={HOSTILE!r}, tags={{{HOSTILE!r}: {HOSTILE!r}}})
RunDetails(run).show()
"""
TRAIN = f"""
import time
def log_until(file, first):
    for step in range(first, first + 3):
        run.log("loss", 1 / (1 + step), step=step)
    end = time.monotonic() + 60
    while not Path(file).exists() and time.monotonic() < end:
        time.sleep(0.05)
log_until("go-on", 0)
run.log("note", {HOSTILE!r})
child = run.child_run(name={HOSTILE!r})
child.complete()
log_until("end", 3)
run.complete()
"""


class Lab:
    """A JupyterLab whose every folder is below one, opened at a notebook of these cells."""

    def __init__(self, folder: Path, port: int, cells: list[str], environment: dict[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.token = secrets.token_urlsafe(24)
        self.log = folder / "lab.log"
        self.work = folder / "work"
        self.work.mkdir()
        (self.work / "run.ipynb").write_text(json.dumps(notebook(cells)))
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        folders = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
        folders |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces")}
        arguments = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
        arguments += [
            f"--ServerApp.root_dir={self.work}",
            "--LabApp.extension_manager=readonly",
            "--LanguageServerManager.autodetect=False",
        ]
        command = [sys.executable, "-m", "jupyterlab", *arguments]
        # The token comes by the environment: arguments are for everybody on the machine to read.
        self._process = spawn(command, {"HOME": str(folder), "JUPYTER_TOKEN": self.token, **folders, **environment}, self.log)

    def answers(self) -> bool:
        """Say whether it is up."""
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            with urlopen(f"{self.url}/login", timeout=5):
                return True
        except (URLError, OSError):
            return False

    def open(self, page: Page) -> None:
        """Sign in, and open the notebook."""
        wait_until("JupyterLab", self.answers, 60)
        page.goto(f"{self.url}/login?next=/doc/tree/run.ipynb")
        page.fill("input[name=password]", self.token)
        page.keyboard.press("Enter")
        # A cell that is run before the kernel is there is not run.
        expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=2 * WAIT)
        expect(page.locator(".jp-Notebook .jp-CodeCell .cm-content").first).to_be_visible(timeout=WAIT)

    def stop(self) -> None:
        """Stop it with its kernels."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def notebook(cells: list[str]) -> dict[str, object]:
    code: list[dict[str, object]] = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for n, text in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": code}


@pytest.fixture
def lab(server: StudioServer, tmp_path: Path, free_port: int) -> Iterator[Lab]:  # noqa: F811
    folder = tmp_path / "lab"
    folder.mkdir()
    ours = {"RUNHERALD_URL": server.url, "RUNHERALD_HOME": str(folder / "runherald")}
    lab = Lab(folder, free_port, [SHOW, TRAIN], ours)
    try:
        yield lab
    finally:
        lab.stop()


@pytest.mark.browser
def test_the_widget_follows_a_run_while_its_cell_runs(lab: Lab, browser: Browser) -> None:  # noqa: F811
    page = browser.new_page(viewport={"width": 1000, "height": 1400})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    lab.open(page)
    run_next = page.get_by_role("button", name="Run this cell and advance")
    run_next.click()
    widget = page.locator(".runherald-run")
    expect(widget.locator(".title .badge")).to_have_text("Running", timeout=WAIT)
    run_next.click()
    chart = widget.locator(".chart", has_text="loss")
    expect(chart).to_have_attribute("data-points", "3", timeout=WAIT)

    (lab.work / "go-on").touch()
    expect(chart).to_have_attribute("data-points", "6", timeout=WAIT)
    (lab.work / "end").touch()
    expect(widget.locator(".title .badge")).to_have_text("Completed", timeout=WAIT)
    expect(widget.locator(".fresh")).to_contain_text("final", timeout=WAIT)
    widget.locator("summary", has_text="tags").click()

    # What a run says is text wherever it stands: its name, a tag, a text metric, a child's name.
    for place in ("h3", ".pairs dt", ".pairs dd", ".metrics .text", ".children th"):
        expect(widget.locator(place).filter(has_text=HOSTILE)).to_have_count(1)
    assert page.evaluate("window.owned") is None
    expect(page.locator(".jp-OutputArea-output[data-mime-type*=error]")).to_have_count(0)
    assert wrong == []

    kernel = int((lab.work / "kernel").read_text())
    page.close()
    lab.stop()
    wait_until("the kernel's end", lambda: is_over(kernel), 20)
    assert lab.token not in lab.log.read_text()


def is_over(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
