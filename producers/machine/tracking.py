"""Machine metrics of a run: from the call that asks for them to the run's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from runherald.errors import InvalidInput
from runherald.producers.machine.sampler import MachineSampler, check_interval

if TYPE_CHECKING:
    from runherald.producers.machine.readings import Reading
    from runherald.producers.run.writer import RunWriter

_KEY = "machine"


def track(writer: RunWriter, every_seconds: float) -> None:
    """Sample the machine for a run until it ends; asked again, at the new interval.

    Raises:
        InvalidInput: the interval cannot be taken, psutil is not installed, or the run has ended.
    """
    seconds = check_sampling(every_seconds)
    writer.check_open()

    def log(metrics: Mapping[str, float]) -> None:
        if writer.ended is None and not writer.session.closed:
            for name, value in metrics.items():
                writer.log(name, value)

    if (before := writer.before_end.pop(_KEY, None)) is not None:
        before()
    sampler = MachineSampler(_open_reader, log, every_seconds=seconds)
    writer.before_end[_KEY] = sampler.stop
    sampler.start()


def check_sampling(every_seconds: object) -> float:
    """Return the interval in seconds, if the machine can be sampled.

    Raises:
        InvalidInput: the interval cannot be taken, or psutil is not installed.
    """
    seconds = check_interval(every_seconds)
    if find_spec("psutil") is None:
        raise InvalidInput("track_system: needs the package psutil; install runherald[system]")
    return seconds


def _open_reader() -> Callable[[], Reading]:
    from runherald.producers.machine.reader import MachineReader  # in the thread: the way to a GPU's driver may take a while

    return MachineReader().read
