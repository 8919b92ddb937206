"""Compute targets: named places on this machine that run so many runs at once.

`local` is always there, with one slot. Others come from the settings (`compute = ["gpu=1", "cpu=4"]`, RUNHERALD_COMPUTE), or are made by
`ws.compute_targets.create`, `ComputeTarget.create` or `runherald compute create`, which keep them below RUNHERALD_HOME.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from runherald.errors import InvalidInput
from runherald.producers.errors import NotFound

if TYPE_CHECKING:
    from ..workspace import Workspace

LOCAL = "local"
MAX_SLOTS = 1_024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FILE = "target.json"


class LocalConfiguration(Struct, frozen=True, kw_only=True):
    """What a target is made with: what azureml-core calls a provisioning configuration."""

    slots: int = 1


class ComputeTarget:
    """A target of a workspace, by its name.

    Attributes:
        name: as scripts name it.
        slots: how many runs it runs at once.
        type: `Local`: every target is a part of this machine.
        workspace: that it was asked of.

    Raises:
        NotFound: there is none of that name.
    """

    type = "Local"

    def __init__(self, workspace: Workspace, name: str) -> None:
        found = workspace.compute_targets.slots_of(name)
        if found is None:
            raise _missing(name, workspace.compute_targets)
        self.workspace = workspace
        self.name = name
        self.slots = found

    @staticmethod
    def create(workspace: Workspace, name: str, provisioning_configuration: object) -> ComputeTarget:
        """Make a target, or give one another number of slots; `provisioning_configuration` is `ComputeTarget.local_configuration(slots=2)`.

        Raises:
            InvalidInput: name or configuration cannot be taken, or the settings have the target.
        """
        if not isinstance(provisioning_configuration, LocalConfiguration):
            raise InvalidInput(
                f"ComputeTarget.create: the configuration is a {provisioning_configuration.__class__.__name__}; targets are parts of this"
                " machine: pass ComputeTarget.local_configuration(slots=2)"
            )
        return workspace.compute_targets.create(name, slots=provisioning_configuration.slots)

    @staticmethod
    def local_configuration(slots: int = 1) -> LocalConfiguration:
        """Return what a target of so many slots is made with (ours; the counterpart of `AmlCompute.provisioning_configuration`)."""
        return LocalConfiguration(slots=check_slots("slots", slots))

    @property
    def folder(self) -> Path:
        """Where the target's queue is (ours)."""
        return target_folder(self.workspace.session.destination.home, self.name)

    def get_status(self) -> str:
        """Return `Succeeded`, as azureml-core does of a target that can be used."""
        return "Succeeded"

    def wait_for_completion(self, show_output: bool = False, **kwargs: object) -> None:
        """Return at once: a target can be used as soon as it is made."""
        del show_output, kwargs

    def delete(self) -> None:
        """Forget the target; runs that are queued on it go on.

        Raises:
            InvalidInput: it is `local`, or the settings have it.
        """
        self.workspace.compute_targets.delete(self.name)

    def __repr__(self) -> str:
        return f"ComputeTarget(Name: {self.name}, Slots: {self.slots})"


class ComputeTargets(Mapping[str, ComputeTarget]):
    """The targets of a workspace, by name."""

    def __init__(self, workspace: Workspace, home: Path, settings: Mapping[str, int]) -> None:
        self._workspace = workspace
        self._home = home
        self._settings = settings

    def __getitem__(self, name: str) -> ComputeTarget:
        if not isinstance(name, str) or self.slots_of(name) is None:
            raise KeyError(name)
        return ComputeTarget(self._workspace, name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({LOCAL, *self._settings, *self._made()}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr(dict(self))

    def create(self, name: str, slots: int = 1) -> ComputeTarget:
        """Make a target, or give one another number of slots: what is queued later counts with it.

        Raises:
            InvalidInput: name or number cannot be taken, or the settings have the target.
            OSError: it cannot be kept.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInput(
                "compute target: the name is to have 1 to 64 letters, digits, `_` and `-`, and to begin with one of the first two"
            )
        self._refuse_set(name)
        folder = target_folder(self._home, name)
        folder.mkdir(parents=True, exist_ok=True)
        passing = folder / f".{_FILE}.{os.getpid()}"
        passing.write_bytes(msgspec.json.encode(LocalConfiguration(slots=check_slots(f"compute target {name!r}: slots", slots))))
        passing.replace(folder / _FILE)
        return ComputeTarget(self._workspace, name)

    def delete(self, name: str) -> None:
        """Forget a target that was made; raises what `ComputeTarget.delete` does, and `NotFound`."""
        self._refuse_set(name)
        if name not in self._made():
            raise InvalidInput("compute target 'local': is always there") if name == LOCAL else _missing(name, self)
        (target_folder(self._home, name) / _FILE).unlink(missing_ok=True)

    def slots_of(self, name: str) -> int | None:
        """Return how many slots a target has; None where there is no such target (ours)."""
        if name in self._settings:
            return self._settings[name]
        made = self._made()
        return made.get(name, 1 if name == LOCAL else None)

    def _refuse_set(self, name: str) -> None:
        if name in self._settings:
            raise InvalidInput(f"compute target {name!r}: is set by the setting `compute`; change it there")

    def _made(self) -> dict[str, int]:
        found = {}
        for file in (self._home / "compute").glob(f"*/{_FILE}"):
            try:
                found[file.parent.name] = msgspec.json.decode(file.read_bytes(), type=LocalConfiguration).slots
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                raise InvalidInput(f"{file}: cannot be read as a compute target; make it again with `runherald compute create`") from None
        return found


def target_folder(home: Path, name: str) -> Path:
    """Return where a target's number of slots and its queue are."""
    return home / "compute" / name


def targets_of_settings(entries: tuple[str, ...]) -> dict[str, int]:
    """Return the targets that the setting `compute` names: its entries are `NAME=SLOTS`, checked when the settings were read."""
    return {name: int(slots) for name, _, slots in (entry.partition("=") for entry in entries)}


def check_slots(what: str, slots: object) -> int:
    """Return a number of slots.

    Raises:
        InvalidInput: it is no whole number from 1 to 1,024.
    """
    if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
        raise InvalidInput(f"{what}: is to be a whole number from 1 to {MAX_SLOTS}")
    return slots


def _missing(name: object, targets: ComputeTargets) -> NotFound:
    there = ", ".join(targets)
    return NotFound(f"compute target {name!r}: there is none of that name (there are {there}); make it with `runherald compute create`")
