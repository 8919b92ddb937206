"""XGBoost: the evaluations of every round as metrics, the learner's settings as parameters.

xgboost.train(params, data, evals=[(held_out, "valid")], callbacks=[RunCallback(run)])
XGBClassifier(callbacks=[RunCallback(run)]).fit(x, y, eval_set=[(x_held_out, y_held_out)])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from xgboost import collective
from xgboost.callback import TrainingCallback

from .reporting import Reporter, RunSource


class RunCallback(TrainingCallback):  # type: ignore[misc]  # xgboost's types are left out
    """Logs `valid-auc` and so on at each round, and the best round of early stopping; in distributed training from the first worker alone.

    Args:
        run: the run, or a function that begins it; None for the one that the script is.
        end_run: end the run with the training; else whoever began it does.
    """

    def __init__(self, run: RunSource = None, *, end_run: bool = False) -> None:
        super().__init__()
        self._reporter = Reporter(run, end_run=end_run)

    def before_training(self, model: Any) -> Any:
        """Log the settings of the learner."""
        if _is_first():
            self._reporter.params_of(lambda: dict(_settings(model)))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, list[Any]]]) -> bool:
        """Log the last evaluation of each metric; never stops the training."""
        del model
        if _is_first():
            self._reporter.metrics(dict(_latest(evals_log)), epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Log the best round where early stopping found one."""
        if _is_first():
            self._reporter.metrics(dict(_best(model)), 0)
            self._reporter.end()
        return model


def _is_first() -> bool:
    return int(collective.get_rank()) == 0


def _latest(evals_log: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[str, object]]:
    """Go through the last values; cross-validation gives a mean with its standard deviation."""
    for data, metrics in evals_log.items():
        for metric, values in metrics.items():
            last = values[-1]
            if isinstance(last, tuple):
                yield f"{data}-{metric}-mean", last[0]
                yield f"{data}-{metric}-std", last[1]
            else:
                yield f"{data}-{metric}", last


def _settings(model: Any) -> Iterator[tuple[str, str]]:
    learner = msgspec.json.decode(_booster(model).save_config())["learner"]
    for part in (learner["learner_train_param"], learner["gradient_booster"], learner["objective"]):
        yield from _leaves(part)


def _leaves(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        elif isinstance(value, str):
            yield name, value


def _best(model: Any) -> Iterator[tuple[str, float]]:
    """Go through what early stopping kept; it keeps texts."""
    for name in ("best_iteration", "best_score"):
        if (kept := _booster(model).attr(name)) is not None:
            yield name, float(kept)


def _booster(model: Any) -> Any:
    """Return a booster; of cross-validation the first one."""
    folds = getattr(model, "cvfolds", None)
    return folds[0].bst if folds else model
