"""How a run begins to run, and how it ends: by a call, or by leaving a `with` block."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from runherald.producers.origin import host_evidence
from runherald.producers.run.failure import Failure, failure_of, failure_of_exception, is_success
from runherald.status import Cause, Status

from .identity import RunIdentity

if TYPE_CHECKING:
    from .resume import Resumed

END_SECONDS = 10.0
"""How long the end of a run waits for its last events to be sent, so that short scripts deliver."""


class RunEnding(RunIdentity):
    """The part of `Run` that says how the run is doing."""

    def start(self) -> None:
        """Say that the run runs now: for one that was created elsewhere."""
        self._writer.report(Status.RUNNING, evidence=host_evidence(self._lease_seconds))
        self._learn(status=str(Status.RUNNING))

    def resume(self, known: Resumed) -> None:
        """Go on with the run in this process (ours; called by `Experiment.start_logging`): with the next attempt, if it has ended."""
        self._view = known.view
        self._writer.go_on(known.steps, known.view.properties if known.view else {})
        self._writer.report(Status.RUNNING, evidence=host_evidence(self._lease_seconds), resume=known.ended)
        self._learn(status=str(Status.RUNNING))

    def complete(self) -> None:
        """End the run as completed. Returns when that stands in the journal, and has been sent or could not be.

        Raises:
            InvalidInput: it has ended otherwise.
        """
        self._end(Status.COMPLETED)

    def fail(self, error_details: object = None, error_code: object = None) -> None:
        """End the run as failed, with a text or an exception that says why. Raises what `complete` does."""
        self._fail(failure_of(error_details, error_code))

    def cancel(self) -> None:
        """End the run as canceled, if this object began it; else ask whoever runs it to do so.

        Raises:
            InvalidInput: it has ended otherwise.
            Unreachable: the run is another's, and the server does not answer.
        """
        if self._lease_seconds:
            self._end(Status.CANCELED, Cause.USER, "Canceled by the script.")
        else:
            self._session.reader().cancel(self._id)

    def flush(self, timeout_seconds: float = 300) -> None:
        """Wait until all that was logged is acknowledged, for a time; `health` says what is not."""
        self._writer.flush(timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        del kind, trace
        if self._writer.ended is not None or os.getpid() != self._pid:
            return
        if isinstance(error, KeyboardInterrupt):
            self._end(Status.CANCELED, Cause.USER, "Interrupted by the user (KeyboardInterrupt).")
        elif error is not None and not is_success(error):
            self._fail(failure_of_exception(error))
        elif self._cancel_seen:
            self._end(Status.CANCELED, Cause.USER, "Canceled on request.")
        else:
            self._end(Status.COMPLETED)

    def _end(self, status: Status, cause: Cause | None = None, message: str = "") -> None:
        try:
            self._prepare_end()
        finally:
            self._writer.end(status, timeout_seconds=END_SECONDS, cause=cause, message=message)
        self._learn(status=str(status))

    def _fail(self, failure: Failure) -> None:
        try:
            self._prepare_end()
        finally:
            self._writer.end(
                Status.FAILED,
                timeout_seconds=END_SECONDS,
                cause=failure.cause,
                message=failure.message,
                error=failure.envelope,
                evidence=failure.evidence,
            )
        self._learn(status=str(Status.FAILED))

    def _prepare_end(self) -> None:
        if self._writer.ended is None:
            self._before_end()
