"""Waits until a run has ended, and reads what it prints meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runherald.api import LogLineView, RunView
from runherald.errors import RunFailed
from runherald.status import TERMINAL, Status

if TYPE_CHECKING:
    from runherald.producers.server.client import ApiClient

FIRST_SECONDS = 0.25
LAST_SECONDS = 5.0
FIRST_LINES = 1_000
MOST_LINES = 100_000
"""How many of the last lines are asked for: more only when all of them are new."""
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
    seconds, status, lines = FIRST_SECONDS, "", LineFollower(client, run_id)
    while True:
        view = client.get_run(run_id)
        if output is not None:
            # Lines and a status that are seen together: the run printed them after it began to run, and before it ended.
            changed = [f"{run_id}: {view.status}\n"] if view.status != status else []
            printed = [f"{text}\n" for text in lines.following()]
            for text in (*printed, *changed) if view.status in TERMINAL | _POST_PROCESSING else (*changed, *printed):
                output(text)
        status = view.status
        if status in done:
            break
        sleep(seconds)
        seconds = min(seconds * 1.5, LAST_SECONDS)
    if status == Status.FAILED and raise_on_error:
        said = view.error.error.message if view.error else view.message
        raise RunFailed(f"run {run_id} failed: {said or view.cause or 'no reason was given'}")
    return view


class LineFollower:
    """Reads what a run printed since it was last asked. Lines of one file come in order of time."""

    def __init__(self, client: ApiClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        self._last: dict[str, tuple[int, int]] = {}

    def following(self) -> list[str]:
        """Return the lines that were not returned yet; where more than 100,000 came at once, the last of them."""
        asked = FIRST_LINES
        lines = self._client.logs(self._run_id, tail=asked)
        while len(lines) == asked < MOST_LINES and self._is_new(lines[0]):
            asked *= 10
            lines = self._client.logs(self._run_id, tail=asked)
        new = [line for line in lines if self._is_new(line)]
        for line in new:
            self._last[line.file] = max((line.time, line.number), self._last.get(line.file, (line.time, line.number)))
        return [line.text for line in new]

    def _is_new(self, line: LogLineView) -> bool:
        last = self._last.get(line.file)
        return last is None or (line.time, line.number) > last
