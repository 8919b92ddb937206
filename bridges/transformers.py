"""Hugging Face transformers: a callback for `Trainer`, and for the trainers built on it.

    Trainer(model, args, train_dataset=…, callbacks=[RunCallback(run)]).train()

`report_to="none"` in the arguments keeps other trackers out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportAttributeAccessIssue]  # its names are loaded when they are used

from .reporting import Reporter, RunSource

_PREFIXES = {"eval_": "eval/", "test_": "test/"}


class RunCallback(TrainerCallback):  # type: ignore[misc]  # without types
    """Logs `train/loss`, `eval/loss` and so on at the trainer's global step, its arguments and the model's configuration as parameters;
    from the first process alone.

    Args:
        run: the run, or a function that begins it in the first process; None for the one that the script is.
        end_run: end the run when the training ends; else whoever began it does.
    """

    def __init__(self, run: RunSource = None, *, end_run: bool = False) -> None:
        self._reporter = Reporter(run, end_run=end_run)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Log the arguments, without tokens, and the model's configuration."""
        del control, kwargs
        if not state.is_world_process_zero:
            return
        self._reporter.params_of(args.to_sanitized_dict)
        to_dict = getattr(getattr(model, "config", None), "to_dict", None)
        if callable(to_dict):
            self._reporter.params_of(lambda: {"model": to_dict()})

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, object] | None = None, **kwargs: Any) -> None:
        """Log what the trainer logs."""
        del args, control, kwargs
        if state.is_world_process_zero:
            self._reporter.metrics(dict(_named(logs or {})), state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the run if this callback is to."""
        del args, control, kwargs
        if state.is_world_process_zero:
            self._reporter.end()


def _named(logs: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Go through what was logged, under the names that the library's own trackers give it."""
    for name, value in logs.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        yield (_PREFIXES[prefix] + name.removeprefix(prefix) if prefix else f"train/{name}"), value
