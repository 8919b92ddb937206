"""Keras 3, and 2 within TensorFlow where `keras` is installed: a callback.

model.fit(x, y, callbacks=[RunCallback(run)])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from .reporting import Reporter, RunSource, is_rank_zero


class RunCallback(keras.callbacks.Callback):  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # without types
    """Logs each epoch's `loss`, `val_loss` and metrics at the epoch's number, and what `evaluate` finds as `test_loss`; from the first
    process alone.

    Args:
        run: the run, or a function that begins it; None for the one that the script is.
        end_run: end the run when `fit` ends; else whoever began it does.
        every_batches: log `batch/loss` and so on every so many batches, too; 0 for never.
    """

    def __init__(self, run: RunSource = None, *, end_run: bool = False, every_batches: int = 0) -> None:
        super().__init__()
        self._reporter = Reporter(run, end_run=end_run)
        self._reports = is_rank_zero()
        self._every_batches = every_batches
        self._batches = 0
        self._epoch = 0
        self._is_fitting = False

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        """Log how the model is trained: epochs, steps, optimizer, loss."""
        del logs
        self._is_fitting = True
        if not self._reports:
            return
        optimizer: Any = getattr(self.model, "optimizer", None)
        self._reporter.params({name: value for name, value in (self.params or {}).items() if name != "verbose"})
        if optimizer is not None:
            self._reporter.params_of(lambda: {"optimizer": optimizer.get_config()})
        if isinstance(loss := getattr(self.model, "loss", None), str):
            self._reporter.params({"loss": loss})

    def on_train_batch_end(self, batch: int, logs: Mapping[str, object] | None = None) -> None:
        """Log a batch, if batches are to be logged."""
        del batch
        if self._reports and self._every_batches and self._batches % self._every_batches == 0:
            self._reporter.metrics({f"batch/{name}": value for name, value in (logs or {}).items()}, self._batches)
        self._batches += 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        """Log an epoch."""
        self._epoch = epoch
        if self._reports:
            self._reporter.metrics(logs or {}, epoch)

    def on_test_end(self, logs: Mapping[str, object] | None = None) -> None:
        """Log what `evaluate` found; what validation within `fit` finds comes with the epoch."""
        if self._reports and not self._is_fitting:
            self._reporter.metrics({f"test_{name}": value for name, value in (logs or {}).items()}, self._epoch)

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        """End the run if this callback is to."""
        del logs
        self._is_fitting = False
        if self._reports:
            self._reporter.end()
