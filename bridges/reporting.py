"""What the bridges share: a run that is told of metrics and parameters, and a training that is never disturbed by it."""

from __future__ import annotations

import atexit
import dataclasses
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice

from runherald import Run
from runherald.errors import RunheraldError
from runherald.producers.allowed import allowed
from runherald.producers.run.left_open import exception_of_script
from runherald.producers.texts import line_of, text_of

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "JSM_NAMESPACE_RANK", "LOCAL_RANK")
"""Where launchers say which process of several this is; the first that is set counts."""
_TOLD_AT_MOST = 100
_DEEP = 5

RunSource = Run | Callable[[], Run] | None

_log = logging.getLogger("runherald.bridges")


class Reporter:
    """Tells a run what a framework has to say. What the run does not take is named once in the log, and the training goes on.

    Args:
        run: the run, or a function that begins it in the process that reports; None for the one that the script is (`Run.get_context`).
            A function is called, and the context asked for, when there is something to say.
        end_run: end the run with the training, or as failed with the process if the training broke off; else whoever began it does.
    """

    def __init__(self, run: RunSource = None, *, end_run: bool = False) -> None:
        self._source = run
        self._run = run if isinstance(run, Run) else None
        self._end_run = end_run
        self._names: set[str] = set()
        self._told: set[str] = set()
        self._pid = os.getpid()
        if end_run:
            atexit.register(self._end_with_process)

    @property
    def run(self) -> Run:
        """The run that is told."""
        if self._run is None:
            self._run = self._source() if callable(self._source) else Run.get_context()
        return self._run

    def metrics(self, values: Mapping[str, object], step: int) -> None:
        """Log numbers and texts under their names, at a step."""
        for name, value in values.items():
            self._tell(f"metric {name!r}", partial(self._metric, name, value, step))

    def params(self, values: object) -> None:
        """Log parameters: what is nested gets names like `optimizer/lr`. Long texts are cut, and a run has 200 of them at most."""
        self._tell("params", partial(self._params_of, values))

    def params_of(self, values: Callable[[], object]) -> None:
        """Log the parameters that a framework's function returns."""
        self._tell("params", lambda: self._params_of(values()))

    def end(self, error: BaseException | None = None) -> None:
        """Say that the training has ended, with what broke it off if anything did."""
        run = self._run
        if self._end_run and run is not None and os.getpid() == self._pid:
            self._tell("end", lambda: run.__exit__(type(error), error, None))

    def _params_of(self, values: object) -> None:
        room = allowed().params - len(self._names)
        texts = dict(flat(values))
        taken = dict(islice(((name, text) for name, text in texts.items() if name not in self._names), room))
        again = {name: text for name, text in texts.items() if name in self._names}
        if left_out := len(texts) - len(taken) - len(again):
            self._say_once("params", f"{left_out} parameters are left out; a run keeps {allowed().params}")
        self._names.update(taken)
        if taken or again:
            self.run.log_params({**again, **taken})

    def _metric(self, name: object, value: object, step: int) -> None:
        self.run.log(line_of(name, allowed().metric_name), value, step=step)

    def _tell(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except RunheraldError as error:
            self._say_once(what, str(error))
        except Exception as error:  # the bridge's edge: whatever is odd in a framework's objects, the training goes on
            self._say_once(what, _said(error))

    def _say_once(self, what: str, reason: str) -> None:
        if what not in self._told and len(self._told) < _TOLD_AT_MOST:
            self._told.add(what)
            _log.warning("bridge_left_out what=%r reason=%r", what, reason)

    def _end_with_process(self) -> None:
        """End what the training left open."""
        self.end(exception_of_script())


def _said(error: Exception) -> str:
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:  # an error whose own text raises
        return kind


def is_rank_zero(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether this is the process of a distributed training that reports: the first of all, or the only one."""
    rank = next((found for name in RANK_VARIABLES if (found := environ.get(name, ""))), "0")
    return rank.strip() == "0"


def flat(values: object, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Go through parameters as names and texts; dictionaries, namespaces and dataclasses are taken apart, five deep."""
    if isinstance(values, Namespace):
        values = vars(values)
    elif dataclasses.is_dataclass(values) and not isinstance(values, type):
        values = {field.name: getattr(values, field.name, None) for field in dataclasses.fields(values)}
    if isinstance(values, Mapping) and depth < _DEEP:
        for name, value in values.items():
            yield from flat(value, f"{prefix}/{name}" if prefix else str(name), depth + 1)
    elif prefix:
        yield line_of(prefix, allowed().param_key), text_of(values, allowed().param_value)
