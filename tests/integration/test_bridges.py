"""Each bridge with the real framework: the examples are run, and what their runs were told is looked at.

A framework that is not installed here may be in another environment: `BRIDGES_PYTHON` names its interpreter, which needs this package's
dependencies as well (docs/bridges.md).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runherald.status import Cause, Status
from tests.fixtures.journalled import lines, params, points, statuses

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "bridges"
PYTHON = os.environ.get("BRIDGES_PYTHON", sys.executable)

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script(tmp_path: Path, free_port: int) -> Script:
    """Return a function that runs a script, by its path or text, as a process of its own, with nobody to send to."""

    def run(source: Path | str, *, status: int = 0) -> subprocess.CompletedProcess[str]:
        path = source
        if isinstance(source, str):
            path = tmp_path / "script.py"
            path.write_text(source)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RUNHERALD_")},
            "RUNHERALD_HOME": str(tmp_path / "home"),
            "RUNHERALD_URL": f"http://127.0.0.1:{free_port}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLES}",
            "KERAS_BACKEND": "jax",
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1",
        }
        done = subprocess.run([PYTHON, str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170, check=False)
        assert done.returncode == status, done.stderr[-3_000:]
        return done

    return run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def needs(*modules: str) -> None:
    """Skip the test where a framework is missing."""
    question = "import sys, importlib.util as u; print(*[name for name in sys.argv[1:] if u.find_spec(name) is None])"
    missing = subprocess.run([PYTHON, "-c", question, *modules], capture_output=True, text=True, check=True).stdout.strip()
    if missing:
        pytest.skip(f"not installed: {missing}; docs/bridges.md says how to run this")


def ended(home: Path, run_id: str) -> Status:
    return statuses(home, run_id)[-1].status


def test_pythons_log(script: Script, home: Path) -> None:
    run_id = script(EXAMPLES / "python_log.py").stdout.strip()
    assert [text.partition("INFO train: ")[2] for _, text in lines(home, run_id)] == [f"epoch {epoch} is done" for epoch in range(3)]
    assert points(home, run_id) == {"loss": [(0, 1.0), (1, 0.5), (2, 1 / 3)]}
    assert ended(home, run_id) is Status.COMPLETED


def test_xgboost(script: Script, home: Path) -> None:
    needs("xgboost", "sklearn")
    run_id = script(EXAMPLES / "xgboost_digits.py").stdout.strip()
    found = points(home, run_id)
    assert set(found) == {"validation_0-mlogloss", "validation_0-merror", "best_iteration", "best_score"}
    assert [step for step, _ in found["validation_0-mlogloss"]] == list(range(8))
    assert found["validation_0-mlogloss"][-1][1] < found["validation_0-mlogloss"][0][1]
    assert params(home, run_id)["max_depth"] == "3"
    assert ended(home, run_id) is Status.COMPLETED


def test_xgboost_over_folds_and_a_run_that_it_ends(script: Script, home: Path) -> None:
    needs("xgboost", "sklearn")
    run_id = script("""
import numpy as np, xgboost
from runherald import Experiment, Workspace
from runherald.bridges.xgboost import RunCallback
run = Experiment(Workspace(), "folds").start_logging()
x = np.random.default_rng(0).random((60, 3))
data = xgboost.DMatrix(x, x[:, 0] > 0.5)
settings = {"objective": "binary:logistic", "eval_metric": "auc", "nthread": 1}
xgboost.cv(settings, data, num_boost_round=3, nfold=2, callbacks=[RunCallback(run, end_run=True)])
assert run.has_ended
print(run.id)
""").stdout.strip()
    found = points(home, run_id)
    assert set(found) == {"train-auc-mean", "train-auc-std", "test-auc-mean", "test-auc-std"}
    assert len(found["test-auc-std"]) == 3
    assert params(home, run_id)["objective"] == "binary:logistic"
    assert ended(home, run_id) is Status.COMPLETED


def test_lightgbm(script: Script, home: Path) -> None:
    needs("lightgbm", "sklearn")
    run_id = script(EXAMPLES / "lightgbm_digits.py").stdout.split()[-1]
    found = points(home, run_id)
    assert set(found) == {"valid_0/auc", "valid_0/binary_logloss"}
    assert [step for step, _ in found["valid_0/auc"]] == list(range(len(found["valid_0/auc"])))
    assert params(home, run_id)["num_leaves"] == "7"
    assert ended(home, run_id) is Status.COMPLETED


def test_lightgbm_over_folds_and_two_that_break_off(script: Script, home: Path) -> None:
    """The first is ended by its bridge; the second reports from another process than the first; the third breaks off."""
    needs("lightgbm")
    done = script(
        """
import os, lightgbm, numpy as np
from runherald import Experiment, Workspace
from runherald.bridges.lightgbm import RunCallback
experiment = Experiment(Workspace(), "folds")
runs = [experiment.start_logging() for _ in range(3)]
print(*[run.id for run in runs], flush=True)
x = np.random.default_rng(0).random((80, 3))
settings = {"objective": "binary", "metric": "auc", "verbose": -1, "num_threads": 1}
def train(run, *callbacks):
    data = lightgbm.Dataset(x, x[:, 0] > 0.5)
    lightgbm.cv(settings, data, num_boost_round=3, nfold=2, callbacks=[RunCallback(run, end_run=True), *callbacks])
def breaks(env):
    raise ValueError("no luck")
train(runs[0])
assert runs[0].has_ended
os.environ["RANK"] = "1"
train(runs[1])
os.environ["RANK"] = "0"
runs[1].cancel()
train(runs[2], breaks)
""",
        status=1,
    )
    run_id, silent, broken = done.stdout.splitlines()[0].split()
    found = points(home, run_id)
    assert set(found) == {"valid/auc-mean", "valid/auc-std"}
    assert len(found["valid/auc-std"]) == 3
    assert ended(home, run_id) is Status.COMPLETED
    assert (points(home, silent), params(home, silent), ended(home, silent)) == ({}, {}, Status.CANCELED)
    last = statuses(home, broken)[-1]
    assert (last.status, last.cause) == (Status.FAILED, Cause.CODE_ERROR)
    assert "no luck" in last.message


def test_keras(script: Script, home: Path) -> None:
    needs("keras", "jax")
    run_id = script(EXAMPLES / "keras_line.py").stdout.strip()
    found = points(home, run_id)
    assert {name for name in found if not name.startswith("batch/")} == {"loss", "mae", "val_loss", "val_mae", "test_loss", "test_mae"}
    assert [step for step, _ in found["val_loss"]] == [0, 1, 2]
    assert [step for step, _ in found["batch/loss"]] == [0, 4, 8, 12, 16]
    assert [step for step, _ in found["test_loss"]] == [2]
    logged = params(home, run_id)
    assert (logged["epochs"], logged["optimizer/name"].lower(), logged["loss"]) == ("3", "sgd", "mse")
    assert ended(home, run_id) is Status.COMPLETED


def test_lightning(script: Script, home: Path, tmp_path: Path) -> None:
    needs("torch", "pytorch_lightning")
    run_id, checkpoint = script(EXAMPLES / "lightning_line.py").stdout.split()[-2:]
    found = points(home, run_id)
    assert [step for step, _ in found["train/loss"]] == list(range(12))
    assert [step for step, _ in found["valid/loss"]] == [3, 7, 11]
    assert params(home, run_id)["lr"] == "0.1"
    kept = tmp_path / checkpoint
    assert kept.parent == tmp_path / "checkpoints" / "bridges-lightning" / run_id / "checkpoints"
    assert kept.is_file()
    assert ended(home, run_id) is Status.COMPLETED


_FIT = """
import sys
import pytorch_lightning as lightning, torch
from lightning_line import Line
from torch.utils.data import DataLoader, TensorDataset
from runherald import Experiment, Workspace
from runherald.bridges.lightning import RunLogger

class Breaks(lightning.Callback):
    def on_train_epoch_end(self, trainer, module):
        if "{breaks}":
            raise ValueError("no luck")

if __name__ == "__main__":
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    data = DataLoader(TensorDataset(x, 3 * x + 1), batch_size=16)
    logger = RunLogger(lambda: Experiment(Workspace(), "fit").start_logging(), end_run=True)
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", devices={devices}, strategy="{strategy}", logger=logger,
                                callbacks=[Breaks()], log_every_n_steps=1, enable_progress_bar=False)
    trainer.fit(Line(), data)
"""


def only_run(home: Path) -> str:
    ids = {path.name.split("~")[0] for path in (home / "journals").iterdir()}
    assert len(ids) == 1
    return ids.pop()


def test_lightning_that_breaks_off(script: Script, home: Path) -> None:
    needs("torch", "pytorch_lightning")
    script(_FIT.format(breaks="yes", devices=1, strategy="auto"), status=1)
    last = statuses(home, only_run(home))[-1]
    assert (last.status, last.cause) == (Status.FAILED, Cause.CODE_ERROR)
    assert "no luck" in last.message


def test_lightning_in_two_processes_has_one_run(script: Script, home: Path) -> None:
    needs("torch", "pytorch_lightning")
    script(_FIT.format(breaks="", devices=2, strategy="ddp"))
    run_id = only_run(home)
    assert [step for step, _ in points(home, run_id)["train/loss"]] == [0, 1, 2, 3]
    assert ended(home, run_id) is Status.COMPLETED


def test_transformers(script: Script, home: Path) -> None:
    needs("torch", "transformers", "accelerate")
    run_id = script(EXAMPLES / "transformers_tiny.py").stdout.split()[-1]
    found = points(home, run_id)
    assert [step for step, _ in found["train/loss"]] == [2, 4, 6]
    assert [step for step, _ in found["eval/loss"]] == [3, 6]
    assert "train/train_runtime" in found
    logged = params(home, run_id)
    assert (logged["max_steps"], logged["model/n_embd"]) == ("6", "16")
    assert ended(home, run_id) is Status.COMPLETED


def test_no_line_that_was_logged_is_missing_after_a_kill(script: Script, home: Path) -> None:
    script(
        """
import logging, os, signal
from runherald import Experiment, Workspace
from runherald.bridges.logging import RunHandler
run = Experiment(Workspace(), "killed").start_logging(provenance=False)
logging.getLogger("train").addHandler(RunHandler(run))
for number in range(1_000):
    logging.getLogger("train").error("%d", number)
os.kill(os.getpid(), signal.SIGKILL)
""",
        status=-9,
    )
    assert [int(text.rpartition(" ")[2]) for _, text in lines(home, only_run(home))] == list(range(1_000))
