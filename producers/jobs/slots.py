"""The queue before a compute target: so many runs at once, the others in the order in which they were submitted.

There is no process that keeps the queue. Whoever waits holds a lock on a file of its own in the target's folder, and whoever runs holds
one of the locks that stand for slots; the operating system lets them go when a process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runherald.producers.jobs.waits import Waits
from runherald.producers.journal.owner_lock import OwnerLock, is_held

UNCLAIMED_SECONDS = 30.0
"""How long a place in the queue may be without its owner: the process that will hold it is being started."""
_BACK, _FRONT = "1", "0"

_log = logging.getLogger("runherald.jobs")


def stand_in_queue(target: Path, run_id: str, *, now_ns: int) -> Path:
    """Take the last place in a target's queue for a run; its runner claims it within half a minute.

    Raises:
        OSError: the folder cannot be written.
    """
    return _place(target, _BACK, run_id, now_ns)


def load_of(target: Path) -> tuple[int, int]:
    """Return how many runs hold a slot of a target, and how many wait for one."""
    running, waiting = (sum(map(is_held, target.joinpath(folder).glob("*"))) for folder in ("slots", "queue"))
    return running, waiting


class SlotQueue:
    """The way of one run to a slot of a target, and off it again while its script only waits for other runs.

    Args:
        target: the target's folder.
        slots: how many there are.
        place: the run's place in the queue, as `stand_in_queue` made it.
        waits: says when the script waits.
    """

    def __init__(
        self,
        target: Path,
        slots: int,
        run_id: str,
        place: Path,
        waits: Waits,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._target = target
        self._slots = slots
        self._run_id = run_id
        self._waits = waits
        self._clock_ns = clock_ns
        self._place: Path | None = place
        self._claim: OwnerLock | None = None
        self._slot: OwnerLock | None = None

    def try_take(self) -> bool:
        """Take a slot if one is free and nobody waits before this run; say whether one is held.

        Raises:
            OSError: the folder cannot be written, or has no locks.
        """
        if self._slot is not None:
            return True
        if self._place is None:
            self._place = _place(self._target, _FRONT, self._run_id, self._clock_ns())
        if self._claim is None:
            self._claim = _try_lock(self._place)  # somebody may be looking whether it is held
        if self._claim is None or any(True for _ in self._living_before(self._place.name)):
            return False
        folder = self._target / "slots"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self._slots):
            self._slot = _try_lock(folder / str(number))
            if self._slot is not None:
                self._leave_queue()
                return True
        return False

    def tend(self) -> None:
        """Give the slot up while the script waits for other runs, and take one again, before all others, when it goes on."""
        with contextlib.suppress(OSError):  # a full disk: what is held stays held, and the next look tries again
            if self._slot is not None and self._waits.has_waiting():
                self._waits.say_given_up()
                if self._waits.has_waiting():  # the script looks the other way round: one of the two sees the other
                    self._slot.release()
                    self._slot = None
                    _log.info("slot_given_up run=%s: its script waits for other runs", self._run_id)
                else:
                    self._waits.say_held()
            elif self._slot is None and not self._waits.has_waiting() and self.try_take():
                self._waits.say_held()
                _log.info("slot_held_again run=%s", self._run_id)

    def leave(self) -> None:
        """Let go of slot and place."""
        if self._slot is not None:
            self._slot.release()
            self._slot = None
        self._leave_queue()

    def _leave_queue(self) -> None:
        if self._place is not None:
            self._place.unlink(missing_ok=True)
        if self._claim is not None:
            self._claim.release()
        self._place = self._claim = None

    def _living_before(self, name: str) -> Iterator[Path]:
        """Go through the places before one that somebody holds or is about to claim; those of the dead are taken away."""
        for place in sorted(self._place_folder().iterdir()):
            if place.name >= name:
                return
            try:
                claim = _try_lock(place, create=False)
            except FileNotFoundError:  # it has a slot by now
                continue
            if claim is None:
                yield place
                continue
            try:
                if self._clock_ns() - int(place.name.split("-")[1]) < UNCLAIMED_SECONDS * 1e9:
                    yield place
                else:
                    place.unlink(missing_ok=True)
            except (ValueError, IndexError):
                continue  # somebody else's file
            finally:
                claim.release()

    def _place_folder(self) -> Path:
        return self._target / "queue"


def _place(target: Path, end: str, run_id: str, now_ns: int) -> Path:
    folder = target / "queue"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{end}-{now_ns:020d}-{run_id}"
    place.touch()
    return place


def _try_lock(path: Path, *, create: bool = True) -> OwnerLock | None:
    try:
        return OwnerLock(path, create=create)
    except BlockingIOError:
        return None
