"""What a run logs: numbers, texts, lists, rows, tables and charts; parameters and lines (ours).

Each call returns when the record stands in the journal: it never waits for the network and never raises for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import SupportsIndex

from .identity import RunIdentity


class RunLogging(RunIdentity):
    """The part of `Run` that logs."""

    def log(self, name: str, value: object, description: str = "", step: SupportsIndex | None = None) -> None:
        """Log a number or a text under a name. Several values of a name make a curve, over `step` or their order.

        Raises:
            InvalidInput: the name, value or step cannot be taken, a step was given for some values of the name and not for others, or the
                run has ended.
        """
        self._writer.log(name, value, description, step)

    def log_list(self, name: str, value: object, description: str = "") -> None:
        """Log a list of numbers or texts at once, as if one by one.

        Raises:
            InvalidInput: the list is empty or holds something else, the name cannot be taken, or the run has ended.
        """
        self._writer.log_list(name, value, description)

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Log one row; each keyword is a column.

        Raises:
            InvalidInput: there is no column, a value cannot be taken, or the run has ended.
        """
        self._writer.log_row(name, kwargs, description)

    def log_table(self, name: str, value: Mapping[str, object], description: str = "") -> None:
        """Log a table: a dictionary of columns, each a list, all of one length.

        Raises:
            InvalidInput: the columns differ in length, a value cannot be taken, or the run has ended.
        """
        self._writer.log_table(name, value, description)

    def log_confusion_matrix(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log a confusion matrix: Azure's `{"schema_type": "confusion_matrix", "schema_version": "v1", "data": {…}}`, or its JSON.

        `data` has `class_labels` (n of them) and `matrix` (n rows of n numbers). Other versions of the schema are kept as they are.

        Raises:
            InvalidInput: it is no JSON object, `data` is not of that shape, the name cannot be taken, or the run has ended.
        """
        self._writer.log_chart("confusion_matrix", name, value, description)

    def log_accuracy_table(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log an accuracy table, from which the curves of receiver operating characteristic, precision and recall, lift and gain are drawn.

        `data` has `probability_tables` and `percentile_tables`, one a class, each with four counts (TP, FP, TN, FN) a threshold;
        `probability_thresholds`, `percentile_thresholds`, `class_labels`. Raises what `log_confusion_matrix` does.
        """
        self._writer.log_chart("accuracy_table", name, value, description)

    def log_residuals(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log a histogram of residuals: `data` has `bin_edges`, and `bin_counts`, one fewer. Raises what `log_confusion_matrix` does."""
        self._writer.log_chart("residuals", name, value, description)

    def log_predictions(self, name: str, value: Mapping[str, object] | str, description: str = "") -> None:
        """Log predictions against true values: `data` has `bin_averages`, `bin_errors` and `bin_counts`, one a bin, and `bin_edges`, one
        more. Raises what `log_confusion_matrix` does."""
        self._writer.log_chart("predictions", name, value, description)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log what the run is run with, such as a learning rate (ours): texts by name. Of a name logged again the later value counts.

        Raises:
            InvalidInput: a name or value cannot be taken (up to 250 and 6,000 characters), there are over 200, or the run has ended.
        """
        self._writer.log_params(params)

    def track_system(self, every_seconds: float = 10.0) -> None:
        """Log what the run's processes and their machine take (processor, memory, disk, network, GPUs) as metrics `system/…`, every so many
        seconds until the run ends (ours).

        Raises:
            InvalidInput: the number of seconds is not from 0.1 to 3,600, psutil is not installed, or the run has ended.
        """
        from runherald.producers.machine.tracking import track  # with the first run that is tracked

        track(self._writer, every_seconds)

    def record_provenance(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Record where the run's code comes from (git) and how this process was started, as properties; it goes on in a thread (ours).

        `folder`: of the code; the script's when not given. It is not changed, and secrets are left out (docs/bridges.md).
        """
        from runherald.producers.provenance.capture import capture  # with the first run that is begun

        capture(self._writer, folder)

    def log_lines(self, lines: Iterable[str], file: str = "logs/lines.log") -> None:
        """Log lines of text under a file's name (ours): they are shown with the run's console.

        Odd characters are replaced, and a line beyond 16,384 characters is cut.

        Raises:
            InvalidInput: the file's name is empty, too long or no text, or the run has ended.
        """
        if isinstance(lines, str):
            lines = [lines]
        self._writer.log_lines(file, lines)
