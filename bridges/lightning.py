"""PyTorch Lightning: a logger, for `lightning` and `pytorch_lightning` alike (the one that the script has loaded, where both are there).

    Trainer(logger=RunLogger(run), callbacks=[ModelCheckpoint()]).fit(model)

Where a strategy starts the script once for each process, pass a function, which is called in the first process alone:

    Trainer(logger=RunLogger(lambda: experiment.start_logging(), end_run=True), strategy="ddp", devices=4)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runherald import Run

from .reporting import Reporter, RunSource

if TYPE_CHECKING or ("pytorch_lightning" not in sys.modules and "lightning.pytorch" in sys.modules):
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment  # pyright: ignore[reportMissingImports]
    from lightning.pytorch.utilities.rank_zero import rank_zero_only  # pyright: ignore[reportMissingImports]
else:
    try:
        from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
        from pytorch_lightning.utilities.rank_zero import rank_zero_only
    except ModuleNotFoundError:
        from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
        from lightning.pytorch.utilities.rank_zero import rank_zero_only


class RunLogger(Logger):  # type: ignore[misc]  # Lightning's types are left out
    """Logs what Lightning's modules log, at its steps, and their hyperparameters as the run's; from the first process alone.

    `ModelCheckpoint` keeps its files in SAVE_DIR/EXPERIMENT/RUN ID/checkpoints.

    Args:
        run: the run, or a function that begins it in the first process; None for the one that the script is.
        end_run: end the run when a fit, validation or test ends, or breaks off; else whoever began it does.
        save_dir: where checkpoints and what other callbacks write go; the trainer's `default_root_dir` when not given.
    """

    def __init__(self, run: RunSource = None, *, end_run: bool = False, save_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self._reporter = Reporter(run, end_run=end_run)
        self._save_dir = None if save_dir is None else os.fspath(save_dir)
        self._last_step = 0

    @property
    @rank_zero_experiment  # type: ignore[untyped-decorator]  # Lightning's types are left out
    def experiment(self) -> Run:
        """The run; in other processes than the first something that takes every call and does nothing."""
        return self._reporter.run

    @property
    def name(self) -> str | None:
        """The name of the run's experiment, in the first process."""
        return self._reporter.run.experiment.name if rank_zero_only.rank == 0 else None

    @property
    def version(self) -> str | None:
        """The run's id, in the first process: Lightning tells the others where files go."""
        return self._reporter.run.id if rank_zero_only.rank == 0 else None

    @property
    def save_dir(self) -> str | None:
        """Where files go; None for the trainer's own folder."""
        return self._save_dir

    @property
    def log_dir(self) -> str | None:
        """The folder of this run below `save_dir`."""
        name, version = self.name, self.version
        return None if name is None or version is None else str(Path(self._save_dir or "") / name / version)

    @rank_zero_only  # type: ignore[untyped-decorator]  # Lightning's types are left out
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at a step; without one at the last."""
        self._last_step = self._last_step if step is None else step
        self._reporter.metrics(metrics, self._last_step)

    @rank_zero_only  # type: ignore[untyped-decorator]  # Lightning's types are left out
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log hyperparameters: a dictionary or namespace, however nested."""
        del args, kwargs
        self._reporter.params(params)

    @rank_zero_only  # type: ignore[untyped-decorator]  # Lightning's types are left out
    def finalize(self, status: str) -> None:
        """End the run if this logger is to: Lightning says `failed` while it handles what broke the training off."""
        error = sys.exception()
        self._reporter.end(error or RuntimeError("Lightning says that the training failed") if status == "failed" else None)
