"""Records where a run comes from, off the way of the script: git may take seconds in a large repository."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runherald.errors import RunheraldError
from runherald.producers.origin import script_path

if TYPE_CHECKING:
    from runherald.producers.run.writer import RunWriter

GIT_SECONDS = 10.0
SUBMIT_SECONDS = 2.0
"""How long a submission waits for git."""
DELAY_SECONDS = 0.1
"""The script gets on first: what asks shares Python's lock with it."""
END_SECONDS = 2.0
"""How long the end of a run waits for what is not known yet."""
_KEY = "provenance"

_log = logging.getLogger("runherald.provenance")


def capture(writer: RunWriter, folder: str | os.PathLike[str] | None = None) -> None:
    """Record a run's provenance from now on, until it is known or the run ends."""
    place = script_folder() if folder is None else Path(folder)

    def add(properties: Mapping[str, str]) -> None:
        if properties and writer.ended is None and not writer.session.closed:
            writer.add_properties(properties)

    # Where it stands is told first: what was changed since may take git longer than the run.
    recording = Recording((started, lambda: known_to_git(place, changes=False), lambda: _changes(place)), add)
    writer.before_end[_KEY] = recording.finish
    recording.start()


def script_folder() -> Path:
    """Return the folder of the script or notebook that this process runs; the working folder where it runs none."""
    script = script_path()
    try:
        return script.absolute().parent if script and script.is_file() else Path().absolute()
    except FileNotFoundError:  # somebody removed the working folder
        return Path()


def started() -> dict[str, str]:
    """Return how this process was started, as properties."""
    from runherald.producers.provenance.command import command_properties  # in the thread, as is what asks git

    return command_properties()


def known_to_git(folder: Path, *, timeout_seconds: float | None = None, changes: bool = True) -> dict[str, str]:
    """Return the properties that git knows of a folder, by default in up to 10 s; none where there is no work tree."""
    from runherald.producers.provenance.git import git_properties, read_git

    state = read_git(folder, timeout_seconds=GIT_SECONDS if timeout_seconds is None else timeout_seconds, changes=changes)
    return {} if state is None else git_properties(state)


def _changes(folder: Path) -> dict[str, str]:
    from runherald.producers.provenance.git import git_properties, read_changes

    return git_properties(read_changes(folder, timeout_seconds=GIT_SECONDS))


def submitted_provenance(folder: Path, command: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return the properties of a program that is submitted: what git knows of its folder in up to 2 s, its command and variables."""
    from runherald.producers.provenance.command import PYTHON_KEY, command_properties

    command_said = command_properties(arguments=command, environ={**os.environ, **variables})
    del command_said[PYTHON_KEY]  # the submitter's: the program may be run by another
    return {**command_said, **known_to_git(folder, timeout_seconds=SUBMIT_SECONDS)}


class Recording:
    """A thread that asks one source of properties after the other, and adds what each says."""

    def __init__(self, sources: tuple[Callable[[], Mapping[str, str]], ...], add: Callable[[Mapping[str, str]], None]) -> None:
        self._sources = sources
        self._add = add
        self._abandoned = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runherald-provenance", daemon=True)

    def start(self) -> None:
        """Begin."""
        try:
            self._thread.start()
        except RuntimeError as error:  # the user may have no more threads
            _log.warning("provenance_not_recorded reason=%r", str(error))

    def finish(self) -> None:
        """Wait a while, and record nothing after that."""
        if self._thread.is_alive():  # in a forked child it is not
            self._hurry.set()
            self._thread.join(END_SECONDS)
        self._abandoned = True

    def _run(self) -> None:
        self._hurry.wait(DELAY_SECONDS)
        for source in self._sources:
            try:
                found = source()
                if self._abandoned:
                    return
                self._add(found)
            except RunheraldError as error:  # such as a property that the script has given another value
                _log.info("provenance_not_recorded reason=%r", str(error))
            except Exception:  # the thread's edge: nothing about where a run comes from may disturb it
                _log.exception("provenance_not_recorded")
