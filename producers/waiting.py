"""Waits until a run has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runherald.api import RunView
from runherald.errors import RunFailed
from runherald.status import TERMINAL, Status

if TYPE_CHECKING:
    from runherald.producers.client import ApiClient

FIRST_SECONDS = 0.25
LAST_SECONDS = 5.0
_POST_PROCESSING = frozenset({Status.FINALIZING, Status.CANCEL_REQUESTED})


def wait_until_done(
    client: ApiClient,
    run_id: str,
    *,
    output: Callable[[str], object] | None,
    to_the_end: bool,
    raise_on_error: bool,
    sleep: Callable[[float], None],
) -> RunView:
    """Return a run once it has ended; without `to_the_end` it counts as ended when only post-processing is left.

    `output` is told of statuses and of the lines that the run prints.

    Raises:
        RunFailed: it failed, and `raise_on_error`.
    """
    done = TERMINAL if to_the_end else TERMINAL | _POST_PROCESSING
    seconds, status, lines = FIRST_SECONDS, "", 0
    while True:
        view = client.get_run(run_id)
        if output is not None:
            lines = _show_lines(client, run_id, lines, output)
            if view.status != status:
                output(f"{run_id}: {view.status}\n")
        status = view.status
        if status in done:
            break
        sleep(seconds)
        seconds = min(seconds * 1.5, LAST_SECONDS)
    if status == Status.FAILED and raise_on_error:
        said = view.error.error.message if view.error else view.message
        raise RunFailed(f"run {run_id} failed: {said or view.cause or 'no reason was given'}")
    return view


def _show_lines(client: ApiClient, run_id: str, shown: int, output: Callable[[str], object]) -> int:
    lines = client.logs(run_id)
    for line in lines[shown:]:
        output(line.text + "\n")
    return len(lines)
