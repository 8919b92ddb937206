"""What is known of a run that goes on in another process: from the server, and from the journals of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from runherald.errors import InvalidInput, Unreachable
from runherald.events import AmlRunEvent, AmlRunStatusChangedEvent
from runherald.producers.errors import NotFound
from runherald.producers.journal.entries import Entry, Logged, Point, Said, Text, decode_entry, payload_of
from runherald.producers.journal.folder import JournalFolder
from runherald.producers.journal.reader import JournalReader
from runherald.status import TERMINAL, Status

if TYPE_CHECKING:
    from runherald.api import RunView
    from runherald.producers.session import Session

RESUME = ("allow", "must")


class Resumed(Struct, frozen=True, kw_only=True):
    """What is known of a run that is to go on.

    Attributes:
        view: as the server has it; None where nobody could be asked, or nothing was sent yet.
        ended: whether it has ended: then it goes on with the next attempt.
        steps: the next step of each metric's name.
    """

    view: RunView | None
    ended: bool
    steps: dict[str, int]


def wanted(resume: object, run_id: str | None) -> str:
    """Return what the argument `resume` asks for: `allow`, `must`, or nothing.

    Raises:
        InvalidInput: it is none of these, or no run is named.
    """
    if resume is None or resume is False:
        return ""
    word = "allow" if resume is True else resume
    if not isinstance(word, str) or word not in RESUME:
        raise InvalidInput("start_logging: resume: is neither True, 'allow' nor 'must'; True goes on with the run if there is one")
    if run_id is None:
        raise InvalidInput("start_logging: resume: which run is to go on? pass its run_id")
    return word


def known_run(session: Session, workspace: str, experiment: str, run_id: str, *, must: bool) -> Resumed | None:
    """Return what is known of a run; None where nothing is. Where the server does not answer, the journals of this machine say it.

    Raises:
        InvalidInput: the run is of another experiment or workspace.
        NotFound: there is none and `must` is set.
        Unreachable: `must` is set, the server does not answer, and no journal of this machine knows the run.
    """
    away: Unreachable | None = None
    view, steps = None, dict[str, int]()
    try:
        client = session.reader()
        view = client.get_run(run_id)
    except NotFound:
        pass
    except Unreachable as error:
        away = error
    else:
        if (view.workspace, view.experiment_name) != (workspace, experiment):
            raise InvalidInput(
                f"run {run_id}: is of experiment {view.experiment_name!r} in workspace {view.workspace!r};"
                " resume it there, or take another id"
            )
        from runherald.producers.server.sql_questions import next_steps  # what logs asks nothing

        steps = next_steps(client, workspace, run_id)
    left = _in_journals(session.destination.home, workspace, run_id)
    if view is None and left is None:
        if must:
            raise away or NotFound(f"run {run_id}: there is no such run, which resume='must' asks for; pass resume=True to begin it then")
        return None
    left = left or Resumed(view=None, ended=False, steps={})
    for name, step in left.steps.items():
        steps[name] = max(step, steps.get(name, 0))
    return Resumed(view=view, ended=left.ended or (view is not None and view.status in TERMINAL), steps=steps)


def _in_journals(home: Path, workspace: str, run_id: str) -> Resumed | None:
    """Return what the journals of this machine hold of a run, sent or not; None where none holds anything."""
    found = sorted(_entries(home, workspace, run_id), key=lambda entry: entry.time)
    steps: dict[str, int] = {}
    status: Status | None = None
    for entry in found:
        if isinstance(entry, (Point, Text, Logged)):
            steps[entry.name] = max(entry.step + 1, steps.get(entry.name, 0))
        elif isinstance(entry, Said):
            data = payload_of(entry)
            if isinstance(data, AmlRunStatusChangedEvent):
                status = data.status
            elif isinstance(data, AmlRunEvent) and data.operation == "Deleted":
                return None
    return Resumed(view=None, ended=status in TERMINAL, steps=steps) if found else None


def _entries(home: Path, workspace: str, run_id: str) -> Iterator[Entry]:
    for path in (home / "journals").glob(f"{run_id[:100]}~*"):
        folder = JournalFolder(path)
        try:
            head = folder.head()
            if (head.run_id, head.workspace) != (run_id, workspace):
                continue
            reader = JournalReader(folder)
            while records := reader.read(10_000):
                yield from (decode_entry(payload) for _, payload in records)
        except (OSError, InvalidInput):
            continue  # what another user, or a newer version, keeps
