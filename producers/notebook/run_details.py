"""`RunDetails`, as azureml-widgets has it: a run in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runherald.errors import InvalidInput, RunheraldError
from runherald.producers.errors import Unsupported
from runherald.producers.notebook.picture import Picture, picture_of
from runherald.producers.notebook.reading import RunReader
from runherald.producers.notebook.summary import summary_of
from runherald.producers.run.run import Run
from runherald.producers.server.client import ApiClient
from runherald.producers.server.connection import Connection
from runherald.setting_checks import OFFLINE

if TYPE_CHECKING:
    from runherald.producers.notebook.widget import RunWidget

_TIMEOUT_SECONDS = 10.0


class RunDetails:
    """Shows a run: status, timeline, charts, children, the end of its log; in a notebook as a widget that follows it until it has ended.

    Raises:
        InvalidInput: `run_instance` is no run.
    """

    def __init__(self, run_instance: Run) -> None:
        if not isinstance(run_instance, Run):
            raise InvalidInput(f"RunDetails: run_instance is a {type(run_instance).__name__}; pass a Run")
        self._run = run_instance
        self._session = run_instance.experiment.workspace.session
        self._widget: RunWidget | None = None

    def show(self, render_lib: Any = None, widget_settings: Mapping[str, Any] | None = None) -> None:
        """Show the run and return at once; shown again, it is another view of the same widget. In a terminal, and where there is
        no server to ask, print what there is to say.

        `render_lib` and `widget_settings` are azureml-widgets' and change nothing.

        Raises:
            Unsupported: this is a notebook, and the extra `notebook` is not installed.
            InvalidInput: `widget_settings` is no dictionary.
        """
        del render_lib
        if widget_settings is not None and not isinstance(widget_settings, Mapping):
            raise InvalidInput(f"RunDetails: show: widget_settings is a {type(widget_settings).__name__}; pass a dictionary, or nothing")
        if not _in_kernel() or self._session.destination.url == OFFLINE:
            sys.stdout.write(self._summary())
            return
        from IPython.display import display

        if self._widget is None:
            self._widget = self._new_widget()
        display(self._widget)  # type: ignore[no-untyped-call]  # IPython says no types of it

    def get_widget_data(self, widget_settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what the widget shows, read now: the parts of a `Picture`.

        Raises:
            Unreachable: the server does not answer.
            NotFound: it knows no such run.
        """
        del widget_settings
        data: dict[str, Any] = msgspec.to_builtins(self._picture())
        return data

    def _new_widget(self) -> RunWidget:
        try:
            from runherald.producers.notebook.widget import RunWidget
        except ImportError as error:
            raise Unsupported(f"RunDetails: the package {error.name} is missing; pip install 'runherald[notebook]'") from None
        url, token, *_ = self._session.destination
        client = ApiClient(url, token, timeout_seconds=_TIMEOUT_SECONDS)  # its own: a cell's reads do not wait for those of the widget
        reader = RunReader(client, Connection(url, token, timeout_seconds=_TIMEOUT_SECONDS), self._run.id)
        return RunWidget(reader, client.url, self._run.id)

    def _summary(self) -> str:
        try:
            return summary_of(self._picture())
        except RunheraldError as error:
            return f"{self._run.id}: {error}\n"

    def _picture(self) -> Picture:
        client = self._session.reader()
        url, token, *_ = self._session.destination
        pages = Connection(url, token, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            return picture_of(RunReader(client, pages, self._run.id).read(), pages.url)
        finally:
            pages.close()


def _in_kernel() -> bool:
    """Say whether this process is a notebook's: whoever runs in one has IPython loaded."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
