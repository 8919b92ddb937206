"""What the server runs and how far it is, from log and history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from runherald.api import PartitionStatus, ServerStatus
from runherald.clock import Clock, system_clock
from runherald.errors import RunheraldError
from runherald.letters_api import LetterCount, ProcessorStop
from runherald.sinks.dead_letters import DeadLetterReader
from runherald.sinks.notice_balance import Notices
from runherald.streams.limited_processor import remedy
from runherald.studio.bounded import Bounded
from runherald.studio.processor_lag import LogLag, processor_statuses


class HistoryStatus(Struct, frozen=True):
    """What history says about the pipeline."""

    letters: list[LetterCount]
    stops: list[ProcessorStop]
    notices: Notices
    set_aside: dict[str, int]


class KnownStatus(Struct, frozen=True):
    """The status as far as it is known, and why the rest is not: by `log` and `history`, the parts that do not answer."""

    status: ServerStatus
    faults: dict[str, str]


class LogStatus:
    """Tells the status; blocks. `log_url` and `history_url` are shown to people, so they hold no password.

    `set_aside` returns the damaged parts of an embedded history; another one looks after its own.
    """

    def __init__(
        self,
        lag: LogLag,
        letters: DeadLetterReader,
        notices: Callable[[], Notices],
        *,
        version: str,
        log_url: str,
        history_url: str,
        set_aside: Callable[[], dict[str, int]] = dict,
        clock: Clock = system_clock,
    ) -> None:
        self._lag = lag
        self._letters = letters
        self._notices = notices
        self._version = version
        self._log_url = log_url
        self._history_url = history_url
        self._set_aside = set_aside
        self._clock = clock

    def __call__(self) -> ServerStatus:
        """Return the status now.

        Raises:
            Unreachable: log or history does not answer.
        """
        return joined(self.of_log(), self.of_history())

    def of_log(self) -> ServerStatus:
        """Return what the log alone says."""
        partitions = self._lag()
        return replace(self.of_nothing(), partitions=partitions, processors=processor_statuses(partitions, self._clock()))

    def of_history(self) -> HistoryStatus:
        """Return what history says."""
        return HistoryStatus(self._letters.counts(), self._letters.stops(), self._notices(), self._set_aside())

    def of_nothing(self) -> ServerStatus:
        """Return what is known when neither log nor history answers."""
        return ServerStatus(version=self._version, log=self._log_url, history=self._history_url, partitions=[])


class BoundedStatus:
    """Tells as much of the status as is known within some seconds: who looks at figures does so most when something is away."""

    def __init__(self, status: LogStatus, seconds: float = 5.0) -> None:
        self._nothing = status.of_nothing()
        self._log = Bounded("log", status.of_log, seconds)
        self._history = Bounded("history", status.of_history, seconds)

    def __call__(self) -> KnownStatus:
        """Return what is known; blocks, at most for twice the seconds."""
        faults: dict[str, str] = {}
        status = self._nothing
        try:
            status = self._log()
        except RunheraldError as error:
            faults["log"] = str(error)
        try:
            status = joined(status, self._history())
        except RunheraldError as error:
            faults["history"] = str(error)
        return KnownStatus(status, faults)

    def close(self) -> None:
        """Let go of the threads."""
        self._log.close()
        self._history.close()


def joined(status: ServerStatus, history: HistoryStatus) -> ServerStatus:
    """Return what the log says with what history says."""
    return replace(
        status,
        notices=history.notices.states,
        balance=history.notices.balance,
        dead_letters=sum(count.open for count in history.letters),
        letters=history.letters,
        stops=standing(history.stops, status.partitions),
        set_aside=history.set_aside,
    )


def standing(stops: Sequence[ProcessorStop], partitions: Collection[PartitionStatus]) -> list[ProcessorStop]:
    """Return the stops that still hold, each with what to do: those of processors that have not passed the record before which they
    stopped."""
    passed = {(part.processor, part.topic, part.partition): part.committed for part in partitions}
    return [
        replace(stop, remedy=f"start {stop.processor} again" if stop.allowed else remedy(stop.processor))
        for stop in stops
        if passed.get((stop.processor, stop.topic, stop.partition), 0) <= stop.offset
    ]
