"""What is read back of a run: status, details, metrics, logs.

A read waits until all that this process said is sent, so that it includes it, and raises `Unreachable` when that cannot be.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from runherald.producers import arguments
from runherald.producers.run.older_names import with_older
from runherald.producers.server.logged import metrics_of
from runherald.producers.server.run_views import details_of
from runherald.producers.server.waiting import wait_until_done
from runherald.status import Status

from .identity import RunIdentity

_NAMED_LINES = 1_000
"""Of how many of the last lines `get_details` names the files."""


class RunReading(RunIdentity):
    """The part of `Run` that asks the server."""

    def get_status(self) -> str:
        """Return the status as the server has it."""
        return self._fresh().status

    def get_detailed_status(self) -> str:
        """Return the status, of a queued run with what it waits for."""
        view = self._fresh()
        return f"{view.status}: {view.message}" if view.status == Status.QUEUED and view.message else view.status

    def get_details(self) -> dict[str, Any]:
        """Return what the server knows of the run, in azureml-core's fields; `logFiles` says where the run's lines are read."""
        return {**details_of(self._fresh()), "logFiles": self._log_addresses()}

    def get_details_with_logs(self) -> dict[str, Any]:
        """Return the details with the text of the logs in them: of the last 100,000 lines."""
        return {**details_of(self._fresh()), "logFiles": with_older(self._texts())}

    def get_all_logs(self, destination: str | os.PathLike[str] | None = None) -> list[str]:
        """Write what the run printed to files below a folder, by default one of the run's id, and return their paths.

        Raises:
            OSError: they cannot be written.
        """
        from runherald.producers.files.names import place_below  # with the first file

        folder = Path(self._id if destination is None else destination)
        written = []
        for name, text in self._texts().items():
            path = place_below(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(str(path))
        return written

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> dict[str, Any]:
        """Return what was logged, of one name or all: once is a scalar, several times a list, a table a dictionary of columns.

        `recursive`: keyed by run id, with the descendants (of `run_type` only, if it is given) that logged anything.

        Raises:
            InvalidInput: the name can be no metric's.
        """
        name = arguments.metric_name(f"run {self._id}", name) if name is not None else ""
        del populate  # azureml-core's: artifact-backed values are whole here
        client = self._session.reader()
        series = client.metrics(self._id, name=name, recursive=recursive)
        if not recursive:
            return metrics_of(series)
        wanted = {one.run_id for one in series}
        if run_type is not None:
            wanted = {self._id, *(view.run_id for view in client.each_child(self._id, recursive=True) if view.run_type == run_type)}
        runs = dict.fromkeys(one.run_id for one in series if one.run_id in wanted)
        return {run_id: metrics_of(one for one in series if one.run_id == run_id) for run_id in runs}

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Wait until the run has ended and return its details; it counts as ended in Finalizing and CancelRequested already, unless
        `wait_post_processing`. `show_output` prints each status, and the run's lines as they come.

        Raises:
            RunFailed: it failed, and `raise_on_error`.
        """
        from runherald.producers.jobs.waits import without_slot  # what logs waits for nobody

        with without_slot():
            view = wait_until_done(
                self._session.reader(),
                self._id,
                output=sys.stdout.write if show_output else None,
                to_the_end=wait_post_processing,
                raise_on_error=raise_on_error,
                sleep=time.sleep,
            )
        self._view = view
        return {**details_of(view), "logFiles": self._log_addresses()}

    def _log_addresses(self) -> dict[str, str]:
        lines = self._session.reader().logs(self._id, tail=_NAMED_LINES)
        address = f"{self._session.client.url}/api/v1/runs/{self._id}/logs"
        return with_older({line.file: address for line in lines})

    def _texts(self) -> dict[str, str]:
        texts: dict[str, list[str]] = {}
        for line in self._session.reader().logs(self._id):
            texts.setdefault(line.file, []).append(line.text + "\n")
        return {file: "".join(lines) for file, lines in texts.items()}
