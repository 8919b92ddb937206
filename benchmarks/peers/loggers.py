"""What logs a point, of several projects: one function each, which returns what logs a scalar and what logs a row of ten columns.

Imported by `cost.py`, which runs in an environment of its own (see `sdk.py`): nothing here may import runherald but `open_runherald`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Log = Callable[[int], Any]


def open_runherald(folder: Path) -> tuple[Log, Log]:
    """Ours: each call is in the journal when it returns."""
    import os

    os.environ["RUNHERALD_HOME"] = str(folder)
    os.environ.setdefault("RUNHERALD_URL", "offline")
    from runherald import Experiment, Workspace

    run = Experiment(Workspace(), "bench").start_logging()
    columns: dict[str, Any] = {f"c{index}": index / 7 for index in range(10)}
    return (lambda index: run.log("loss", index * 0.1)), (lambda _: run.log_row("row", **columns))


def open_wandb(folder: Path) -> tuple[Log, Log]:
    """Weights & Biases, offline."""
    import wandb

    run = wandb.init(project="bench", mode="offline", dir=str(folder), settings=wandb.Settings(silent=True, x_disable_stats=True))
    columns = {f"c{index}": index / 7 for index in range(10)}
    return (lambda index: run.log({"loss": index * 0.1})), (lambda _: run.log(columns))


def open_mlflow(folder: Path) -> tuple[Log, Log]:
    """MLflow, asynchronous, to files."""
    import os

    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    mlflow.set_tracking_uri(folder.as_uri())
    mlflow.set_experiment("bench")
    mlflow.start_run()
    columns = {f"c{index}": index / 7 for index in range(10)}
    return (
        lambda index: mlflow.log_metric("loss", index * 0.1, step=index, synchronous=False),
        lambda index: mlflow.log_metrics(columns, step=index, synchronous=False),
    )


def open_tensorboardx(folder: Path) -> tuple[Log, Log]:
    """TensorBoardX, whose writer has a thread and a queue of ten."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder))
    columns = {f"c{index}": index / 7 for index in range(10)}

    def row(index: int) -> None:
        for name, value in columns.items():
            writer.add_scalar(name, value, index)

    return (lambda index: writer.add_scalar("loss", index * 0.1, index)), row


OPEN: dict[str, Callable[[Path], tuple[Log, Log]]] = {
    "runherald": open_runherald,
    "wandb": open_wandb,
    "mlflow": open_mlflow,
    "tensorboardX": open_tensorboardx,
}
