"""How a version of a model comes into being: from files of a run, or from files of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from runherald.clock import system_clock
from runherald.errors import InvalidInput, RunheraldError
from runherald.events import AmlRunOutputEvent
from runherald.producers import arguments
from runherald.producers.allowed import allowed
from runherald.producers.errors import NotFound, Unsupported
from runherald.producers.files.listing import all_files_below
from runherald.producers.files.names import file_name
from runherald.producers.files.store import StoredFile
from runherald.producers.models.record import OURS, Described, ModelRecord
from runherald.producers.server.sql_questions import OutputRow, greatest_version

if TYPE_CHECKING:
    from ..workspace import Workspace

TRIES = 20
"""How many numbers are tried where others take them at the same moment: each try loses to another that went through."""

Keep = Callable[[str], Iterable[AmlRunOutputEvent]]
"""Keeps the files of a version, of which it is given the record's id, and returns what history is told of each."""


def described(
    what: str,
    *,
    path: str,
    run_id: str = "",
    tags: Mapping[str, object] | None,
    properties: Mapping[str, object] | None,
    description: str | None,
    framework: str | None,
    framework_version: str | None,
    without: Mapping[str, object],
) -> Described:
    """Return what a version is registered with, checked. `without`: arguments that have no meaning here, by name.

    Raises:
        InvalidInput: tags, properties, description or framework cannot be taken.
        Unsupported: an argument without a meaning here is given.
    """
    for name, given in without.items():
        if given is not None and given != []:
            raise Unsupported(f"{what}: {name}: there are no datasets and no deployments here; leave it out, or name it in a tag")
    if framework_version is not None and framework is None:
        raise InvalidInput(f"{what}: model_framework_version: is given without model_framework; pass both")
    return Described(
        path=path,
        run_id=run_id,
        framework=_text(f"{what}: model_framework", framework),
        framework_version=_text(f"{what}: model_framework_version", framework_version),
        description=arguments.description(what, description),
        tags=arguments.tags(what, tags or {}),
        properties=own_properties(what, properties or {}),
    )


def own_properties(what: str, given: Mapping[str, object]) -> dict[str, str]:
    """Return a user's properties.

    Raises:
        InvalidInput: they cannot be taken, or a key is one of ours.
    """
    texts = arguments.properties(what, given)
    for key in texts:
        if key.startswith(OURS):
            raise InvalidInput(f"{what}: properties: the key {key[:80]!r} begins with {OURS!r}, which says what the model is; take another")
    return texts


def register(workspace: Workspace, name: str, described: Described, keep: Keep) -> int:
    """Register the next version of a model, and return its number.

    Raises:
        Unreachable: no server answers, so nobody knows which version is next.
        RunheraldError: others took each number that was tried.
        OSError: a file cannot be kept; the number stays unused.
    """
    version = 0
    for _ in range(TRIES):
        version = max(version, greatest_version(workspace.session.reader(), workspace.name, name)) + 1
        record = ModelRecord(workspace.session, workspace=workspace.name, name=name, version=version)
        try:
            if _claimed(record, described):
                files = 0
                for file in keep(record.id):
                    record.add_file(file)
                    files += 1
                record.complete(files)
                return version
        finally:
            record.close()
    raise RunheraldError(f"model {name!r}: others registered versions of it at the same time, {TRIES} times in a row; register it again")


def below(rows: Sequence[OutputRow], path: str) -> list[OutputRow]:
    """Return the file of a name, or all that lie below it."""
    return [row for row in rows if row.path == path or row.path.startswith(f"{path}/")]


def files_of_run(run_id: str, rows: Sequence[OutputRow], path: str) -> Keep:
    """Return what keeps files of a run as a model: they stay where they are.

    Raises:
        NotFound: the run has no file of that name, nor below it.
    """
    chosen = below(rows, path)
    if not chosen:
        raise NotFound(
            f"run {run_id}: register_model: has no file {path[:80]!r}, nor any below it; keep it with upload_file or upload_folder first"
            " (get_file_names says what there is; a folder of outputs is kept when the run ends)"
        )

    def keep(record_id: str) -> Iterator[AmlRunOutputEvent]:
        del record_id
        for row in chosen:
            yield StoredFile(name=row.path, size=row.size, sha256=row.sha256, uri=row.uri).event()

    return keep


def files_of_machine(what: str, workspace: Workspace, path: Path, child_paths: Sequence[str] | None) -> Keep:
    """Return what copies a file, or all files below a folder, or `child_paths` of it, to where the workspace keeps files.

    Raises:
        InvalidInput: there is no such path, or no file below it, or a name cannot be taken.
    """
    files = {file_name(what, file.relative_to(path.parent).as_posix()): file for file in _chosen(what, path, child_paths)}
    if not files:
        raise InvalidInput(f"{what}: model_path: {path}: has no files; pass a file, or a folder with some")

    def keep(record_id: str) -> Iterator[AmlRunOutputEvent]:
        store = workspace.files
        for name, source in sorted(files.items()):
            with source.open("rb") as content:
                yield store.put(record_id, name, content).event()

    return keep


def _claimed(record: ModelRecord, described: Described) -> bool:
    registration = uuid4().hex
    record.claim(described, registration, system_clock())
    try:
        return record.is_of(registration)
    except NotFound:
        raise RunheraldError(f"{record.id}: the server did not take the registration; its dead letters say why") from None


def _chosen(what: str, path: Path, child_paths: Sequence[str] | None) -> Iterator[Path]:
    if isinstance(child_paths, str):
        raise InvalidInput(f"{what}: child_paths: is a text; pass a list of paths below model_path")
    roots = [path] if not child_paths else [path / file_name(f"{what}: child_paths", child) for child in child_paths]
    for root in roots:
        if not root.exists():
            raise InvalidInput(f"{what}: model_path: {root}: is not there; pass the path of a file or folder")
        yield from [root] if root.is_file() else all_files_below(root)


def _text(what: str, given: str | None) -> str:
    if given is not None and not isinstance(given, str):
        raise InvalidInput(f"{what}: is a {type(given).__name__}; pass a text, such as Model.Framework.CUSTOM")
    return arguments.bounded(what, given or "", allowed().property_value)
