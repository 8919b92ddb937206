"""LightGBM: the evaluations of every round as metrics, the parameters as parameters.

lightgbm.train(params, data, valid_sets=[held_out], callbacks=[RunCallback(run)])
LGBMClassifier().fit(x, y, eval_set=[(x_held_out, y_held_out)], callbacks=[RunCallback(run)])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .reporting import Reporter, RunSource, is_rank_zero


class RunCallback:
    """Logs `valid_0/auc` and so on at each round; where a launcher starts several processes, from the first alone.

    LightGBM calls nothing when early stopping ends the training: with `end_run` the run is then ended with the process.

    Args:
        run: the run, or a function that begins it; None for the one that the script is.
        end_run: end the run with the training; else whoever began it does.
    """

    order = 15
    """After `log_evaluation` (10), before `early_stopping` (30), which ends the round."""
    before_iteration = False

    def __init__(self, run: RunSource = None, *, end_run: bool = False) -> None:
        self._reporter = Reporter(run, end_run=end_run)
        self._reports = is_rank_zero()

    def __call__(self, env: Any) -> None:
        """Log one round: `env` is LightGBM's `CallbackEnv`."""
        if not self._reports:
            return
        if env.iteration == env.begin_iteration:
            self._reporter.params(env.params)
        self._reporter.metrics(dict(_evaluations(env.evaluation_result_list or ())), env.iteration)
        if env.iteration == env.end_iteration - 1:
            self._reporter.end()


def _evaluations(results: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, object]]:
    """Go through the values; cross-validation gives a mean with its standard deviation."""
    for data, metric, value, _, *deviation in results:
        if deviation and deviation[0] is not None:
            yield f"{data}/{metric}-mean", value
            yield f"{data}/{metric}-std", deviation[0]
        else:
            yield f"{data}/{metric}", value
