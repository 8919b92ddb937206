"""What is said of a version of a model.

A model has no events of its own. What is said of a version stands in the record of a run that never runs, as with experiments
(`experiment_record`): its id is made of workspace, name and number, its type is `runherald.model`, and it counts as deleted from its first
event on, so that no list of runs shows it and nothing waits for it.

Two who register at once may take the same number. Properties are written once, so history takes the first one's event and refuses the
other's as a whole: each reads back whose `registration` stands there. Only the one whose it is says files, and last how many there are: a
version counts from then on, and one whose registration broke off never does; its number stays unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid5

from msgspec import Struct

from runherald.events import NAMESPACE, Actor, AmlRunEvent, AmlRunOutputEvent, Data, RunHeader

if TYPE_CHECKING:
    from runherald.producers.recorder import Recorder
    from runherald.producers.session import Session

MODEL_RECORD = "runherald.model"
"""The type of the run that keeps what is said of a version of a model."""

OURS = "runherald."
"""What the keys of properties begin with that say what the version is; the others are the user's."""

NAME, VERSION, REGISTRATION, FILES = f"{OURS}name", f"{OURS}version", f"{OURS}registration", f"{OURS}files"
RUN_ID, PATH, FRAMEWORK, FRAMEWORK_VERSION = f"{OURS}run_id", f"{OURS}path", f"{OURS}framework", f"{OURS}framework_version"


class Described(Struct, frozen=True, kw_only=True):
    """What a version is registered with.

    Attributes:
        path: of the file or folder, as its files' names begin with it.
        run_id: of the run whose files they are; empty for files of this machine.
    """

    path: str
    run_id: str = ""
    framework: str = ""
    framework_version: str = ""
    description: str = ""
    tags: dict[str, str | None] = {}
    properties: dict[str, str] = {}


def record_id(workspace: str, name: str, version: int) -> str:
    """Return the id of the run that keeps what is said of a version."""
    return f"model-{uuid5(NAMESPACE, f'{workspace}/{name}:{version}')}"


class ModelRecord:
    """Says what is known of a version of a model. Its journal is opened by the first thing that is said."""

    def __init__(self, session: Session, *, workspace: str, name: str, version: int) -> None:
        self.id = record_id(workspace, name, version)
        self._session = session
        self._workspace = workspace
        self._name = name
        self._version = version
        self._recorder: Recorder | None = None

    def claim(self, described: Described, registration: str, created: datetime) -> None:
        """Say that the version is there. `registration` is the claim's own; history has the first one's."""
        own = {
            NAME: self._name,
            VERSION: str(self._version),
            REGISTRATION: registration,
            RUN_ID: described.run_id,
            PATH: described.path,
            FRAMEWORK: described.framework,
            FRAMEWORK_VERSION: described.framework_version,
        }
        self._say(
            AmlRunEvent(
                operation="Deleted",
                header=RunHeader(experiment_name="", run_type=MODEL_RECORD, created_time=created),
                display_name=f"{self._name}:{self._version}",
                description=described.description,
                tags=described.tags,
                properties={**described.properties, **{key: text for key, text in own.items() if text}},
                actor=Actor(kind="user"),
            )
        )

    def is_of(self, registration: str) -> bool:
        """Say whether history has this registration's claim, after all that was said here."""
        return self._session.reader().get_run(self.id).properties.get(REGISTRATION) == registration

    def add_file(self, file: AmlRunOutputEvent) -> None:
        """Say that a file belongs to the version."""
        self._say(file)

    def complete(self, files: int) -> None:
        """Say that these were all files: the version counts from now on."""
        self.update(properties={FILES: str(files)})

    def update(
        self,
        *,
        tags: Mapping[str, str | None] | None = None,
        tags_removed: tuple[str, ...] = (),
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> None:
        """Say what has changed."""
        self._say(
            AmlRunEvent(
                operation="Updated",
                tags=dict(tags or {}),
                tags_removed=tags_removed,
                properties=dict(properties or {}),
                description=description,
                actor=Actor(kind="user"),
            )
        )

    def close(self) -> None:
        """Let go of the journal when it is sent."""
        if self._recorder is not None:
            self._recorder.close()

    def _say(self, data: Data) -> None:
        with self._session.opening:
            if self._recorder is None or self._recorder.closed:
                self._recorder = self._session.open_recorder(workspace=self._workspace, run_id=self.id, steps={})
        self._recorder.say(data)
