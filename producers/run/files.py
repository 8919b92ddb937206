"""The files of a run: what a script keeps beside its metrics.

A file is copied to the workspace's folder of files, and told to history; that call needs the disk, not the network. Names are read back
from history, content from where it lies.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from runherald.errors import InvalidInput
from runherald.producers.errors import NotFound, Unsupported

from .identity import RunIdentity

if TYPE_CHECKING:
    from runherald.producers.files.store import StoredFile
    from runherald.producers.server.sql_questions import OutputRow

_log = logging.getLogger("runherald.files")

SNAPSHOT_PROPERTY = "ContentSnapshotId"

Source = str | os.PathLike[str] | IO[bytes]


class RunFiles(RunIdentity):
    """The part of `Run` that keeps files and gets them back."""

    def upload_file(self, name: str, path_or_stream: Source, datastore_name: str | None = None) -> StoredFile:
        """Keep a file, or what a binary stream still holds, under a name.

        Raises:
            InvalidInput: the name cannot be taken or is taken, or there is no such file.
            OSError: it cannot be copied.
        """
        return self._keep(self._named(name, datastore_name), path_or_stream)

    def upload_files(
        self,
        names: Sequence[str],
        paths: Sequence[str | os.PathLike[str]],
        return_artifacts: bool = False,
        timeout_seconds: int | None = None,
        datastore_name: str | None = None,
    ) -> list[StoredFile] | None:
        """Keep several files, each under its name. Nothing is kept where one of them cannot be; raises what `upload_file` does."""
        del timeout_seconds  # azureml-core's: copying takes as long as it takes
        if isinstance(names, str) or isinstance(paths, str) or len(names) != len(paths):
            raise InvalidInput(f"run {self._id}: upload_files: pass a list of names and a list of as many paths")
        plain = [self._named(name, datastore_name) for name in names]
        for path in paths:
            self._existing(path)
        kept = [self._keep(name, path) for name, path in zip(plain, paths, strict=True)]
        return kept if return_artifacts else None

    def upload_folder(self, name: str, path: str | os.PathLike[str], datastore_name: str | None = None) -> list[StoredFile]:
        """Keep all files below a folder, under names that begin with `name`. Raises what `upload_file` does, before anything is kept."""
        from runherald.producers.files.listing import all_files_below

        folder = Path(path)
        if not folder.is_dir():
            raise InvalidInput(f"run {self._id}: upload_folder: {folder}: is no folder; pass one, or use upload_file")
        prefix = self._named(name, datastore_name)
        names = {file: self._named(f"{prefix}/{file.relative_to(folder).as_posix()}", None) for file in all_files_below(folder)}
        return [self._keep(name, file) for file, name in names.items()]

    def log_image(self, name: str, path: str | os.PathLike[str] | None = None, plot: Any = None, description: str = "") -> None:
        """Log an image: a file, or a plot of matplotlib (a figure, or `matplotlib.pyplot` for the current one), which is kept as PNG.

        Raises:
            InvalidInput: neither or both are given, the plot cannot be saved, or the run has ended; and what `upload_file` raises.
        """
        what = f"run {self._id}: metric {name!r}"
        if (path is None) == (plot is None):
            raise InvalidInput(f"{what}: pass either path or plot")
        source: Source
        if path is not None:
            source, ending = path, self._existing(path).suffix
        else:
            source, ending = _png(what, plot), ".png"
        self._writer.check_open()
        kept = self._keep(self._named(f"{name}_{time.time_ns()}{ending}", None), source)
        self._writer.log_image(name, {"path": kept.name, "size": kept.size, "sha256": kept.sha256}, description)

    def get_file_names(self) -> list[str]:
        """Return the names of the run's files."""
        from runherald.producers.run.older_names import with_older

        return list(with_older({row.path: row for row in self._outputs()}))

    def download_file(self, name: str, output_file_path: str | os.PathLike[str] | None = None) -> None:
        """Copy a file of the run to a path, to a folder (one that is there, or a path that ends with `/`), or to the working folder, under
        the file's own last name.

        Raises:
            NotFound: the run has no such file, or it lies where this machine cannot read.
            InvalidInput: its content is not what was uploaded.
            OSError: it cannot be written.
        """
        from runherald.producers.run.older_names import name_now

        rows = self._outputs()
        now = name_now(name, (row.path for row in rows))
        for row in rows:
            if row.path == now:
                target = Path(output_file_path) if output_file_path is not None else Path()
                is_folder = target.is_dir() or os.fspath(output_file_path or "").endswith(("/", os.sep))
                self._fetch(row, target / Path(name).name if is_folder else target)
                return
        raise NotFound(f"run {self._id}: has no file {name!r}; get_file_names says which there are")

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | os.PathLike[str] | None = None,
        output_paths: Sequence[str | os.PathLike[str]] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: int | None = None,
    ) -> None:
        """Copy the files whose names begin with `prefix` below a folder, or each to its path in order of their names.

        `append_prefix`: keep the prefix in the paths. Raises what `download_file` does, and InvalidInput where the paths are not as many as
        the files.
        """
        from runherald.producers.files.names import place_below

        del batch_size, timeout_seconds  # azureml-core's: copying takes as long as it takes
        start = prefix or ""
        rows = [row for row in self._outputs() if row.path.startswith(start)]
        if output_paths is None:
            folder = Path(output_directory or ".")
            names = [row.path if append_prefix else row.path.removeprefix(start).lstrip("/") or row.path for row in rows]
            targets = [place_below(folder, name) for name in names]
        elif len(output_paths) != len(rows):
            raise InvalidInput(f"run {self._id}: download_files: output_paths has {len(output_paths)} items for {len(rows)} files")
        else:
            targets = [Path(output_directory or ".") / path for path in output_paths]
        for row, target in zip(rows, targets, strict=True):
            self._fetch(row, target)

    def take_snapshot(self, file_or_folder_path: str | os.PathLike[str]) -> str:
        """Keep the code of the run as a ZIP, and return the snapshot's id. What `.amlignore`, else `.gitignore`, names is left out.

        Raises:
            InvalidInput: the run has a snapshot, there is no such path, or it has more than 2,000 files or 300 MB.
            Unsupported: the folder has such a file, and the package pathspec is not installed.
        """
        from runherald.producers.files.snapshot import snapshot

        what = f"run {self._id}: take_snapshot"
        if self._writer.properties.get(SNAPSHOT_PROPERTY):
            raise InvalidInput(f"{what}: the run has one already; keep more with upload_folder")
        snapshot_id, content = snapshot(what, Path(file_or_folder_path))
        self.keep_snapshot(snapshot_id, content)
        return snapshot_id

    def keep_snapshot(self, snapshot_id: str, content: bytes) -> None:
        """Keep a ZIP as the run's snapshot (ours; what `take_snapshot` and `Experiment.start_logging` share).

        Raises:
            OSError: it cannot be written.
        """
        self._keep(_snapshot_file(snapshot_id), io.BytesIO(content))
        self.add_properties({SNAPSHOT_PROPERTY: snapshot_id})

    def get_snapshot_id(self) -> str:
        """Return the id of the run's snapshot.

        Raises:
            NotFound: it has none.
        """
        snapshot_id = self.get_properties().get(SNAPSHOT_PROPERTY, "")
        if not snapshot_id:
            raise NotFound(f"run {self._id}: has no snapshot; take_snapshot keeps one")
        return snapshot_id

    def restore_snapshot(self, snapshot_id: str | None = None, path: str | os.PathLike[str] | None = None) -> str:
        """Copy the run's snapshot, a ZIP, to a path, to a folder, or under its id to the working folder; return where it is.

        Raises what `download_file` does, and `NotFound` where there is none.
        """
        name = _snapshot_file(snapshot_id or self.get_snapshot_id())
        target = Path() if path is None else Path(path)
        target = target / Path(name).name if target.is_dir() else target
        self.download_file(name, target)
        return str(target)

    def _outputs(self) -> list[OutputRow]:
        from runherald.producers.server.sql_questions import outputs

        return list(outputs(self._session.reader(), self._id))

    def _named(self, name: str, datastore_name: str | None) -> str:
        from runherald.producers.files.names import file_name

        if datastore_name is not None:
            raise Unsupported(f"run {self._id}: datastore_name: there are no datastores; leave it out, or pass files= to Workspace")
        return file_name(f"run {self._id}", name)

    def _existing(self, path: str | os.PathLike[str]) -> Path:
        file = Path(path)
        if not file.is_file():
            raise InvalidInput(f"run {self._id}: {file}: is no file; pass the path of one, or use upload_folder")
        return file

    def _keep(self, name: str, source: Source) -> StoredFile:
        store = self._experiment.workspace.files
        if isinstance(source, (str, os.PathLike)):
            with self._existing(source).open("rb") as file:
                kept = store.put(self._id, name, file)
        elif isinstance(cast(object, source), io.TextIOBase):
            raise InvalidInput(f"run {self._id}: file {name!r}: is a stream of texts; open it in binary mode ('rb'), or encode it")
        elif callable(getattr(source, "read", None)):
            kept = store.put(self._id, name, cast(BinaryIO, source))
        else:
            raise InvalidInput(f"run {self._id}: file {name!r}: is a {type(source).__name__}; pass a path or a binary stream")
        self._writer.add_output(kept.event())
        self._uploaded.add(kept.name)
        return kept

    def _before_end(self) -> None:
        """Keep what lies in the folder of outputs. The run is to end as it ends: what cannot be kept is told."""
        folder = self._outputs_folder
        if folder is None or not folder.is_dir():
            return
        from runherald.producers.files.listing import files_below

        left: list[Exception] = []
        for file in sorted(files_below(folder, left.append)):
            name = f"{folder.name or 'outputs'}/{file.relative_to(folder).as_posix()}"
            try:
                name = self._named(name, None)
                if name not in self._uploaded:  # the script may have kept it itself
                    self._keep(name, file)
            except (InvalidInput, OSError) as error:
                left.append(error)
        if left:
            _log.warning("outputs_left run=%s folder=%s count=%d first='%s'", self._id, folder, len(left), left[0])

    def _fetch(self, row: OutputRow, target: Path) -> None:
        from runherald.producers.files.store import fetch

        fetch(self._experiment.workspace.files, self._id, row.path, row.uri, row.sha256, target)


def _snapshot_file(snapshot_id: str) -> str:
    return f"snapshot/{snapshot_id}.zip"


def _png(what: str, plot: Any) -> io.BytesIO:
    save = getattr(plot, "savefig", None)
    if not callable(save):
        raise InvalidInput(f"{what}: plot is a {type(plot).__name__}; pass a figure of matplotlib, or matplotlib.pyplot")
    content = io.BytesIO()
    save(content, format="png", bbox_inches="tight")
    content.seek(0)
    return content
