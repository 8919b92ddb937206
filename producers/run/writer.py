"""What a Run says: checks it, and records it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from runherald.errors import InvalidInput
from runherald.events import Actor, AmlRunEvent, AmlRunOutputEvent, AmlRunStatusChangedEvent, Data, ErrorEnvelope, Evidence, RunHeader
from runherald.producers import arguments, values
from runherald.producers.allowed import allowed
from runherald.producers.run.health import Health
from runherald.producers.run.lines import Stream, fitting, packed
from runherald.status import Cause, Status

if TYPE_CHECKING:
    from runherald.producers.recorder import Recorder
    from runherald.producers.run.chart_schemas import ChartKind
    from runherald.producers.session import Session

_log = logging.getLogger("runherald.run")


class RunWriter:
    """Records for one Run object. The journal is opened by the first record.

    Args:
        lease_seconds: of the heartbeats, for the object that the run began with; 0 for one that was attached to the run later.
    """

    def __init__(self, session: Session, *, workspace: str, experiment_name: str, run_id: str, lease_seconds: float = 0.0) -> None:
        self.session = session
        self.run_id = run_id
        self._run = f"run {run_id}"
        self.ended: Status | None = None
        self.properties: dict[str, str] = {}
        self._workspace = workspace
        self._experiment_name = experiment_name
        self._lease_seconds = lease_seconds
        self._steps: dict[str, int] = {}
        self._recorder: Recorder | None = None
        self._cancel_requested = False
        self._rejected = 0
        self.before_end: dict[str, Callable[[], None]] = {}
        """What is called when the run is about to end, such as threads that log for it; none of it raises or waits long."""

    def log(self, name: str, value: object, description: str | None = "", step: object = None) -> None:
        """Record a number or a text under a metric's name."""
        if type(value) is not float:
            value = self._scalar(name, value)
        if type(name) is not str or name not in self._steps:
            name = arguments.metric_name(self._run, name)
        if step is not None:
            step = arguments.step(self._what(name), step)
        if description:
            description = arguments.description(self._what(name), description)
        recorder = self._recorder
        if recorder is None or recorder.closed or self.ended is not None:
            recorder = self._for_metrics()
        recorder.log(name, value, step, description or "")

    def log_list(self, name: str, value: object, description: str | None) -> None:
        """Record each item of a list as a point of its own, at the steps after the greatest of the name so far."""
        name = arguments.metric_name(self._run, name)
        points = values.items(self._what(name), value)
        description = arguments.description(self._what(name), description)
        self._for_metrics().log_items(name, points, description)

    def log_row(self, name: str, columns: Mapping[str, object], description: str | None) -> None:
        """Record one row of named columns."""
        if type(name) is not str or name not in self._steps:
            name = arguments.metric_name(self._run, name)
        if description:
            description = arguments.description(self._what(name), description)
        cells = values.row(self._what(name), columns)
        self._for_metrics().log_object(name, "row", cells, description or "")

    def log_table(self, name: str, columns: object, description: str | None) -> None:
        """Record a table: a dictionary of columns of one length."""
        name = arguments.metric_name(self._run, name)
        description = arguments.description(self._what(name), description)
        lists = values.table(self._what(name), columns)
        self._for_metrics().log_object(name, "table", lists, description)

    def log_chart(self, kind: ChartKind, name: str, value: object, description: str | None) -> None:
        """Record a chart: a dictionary or JSON in one of Azure's schemas."""
        from runherald.producers.run.chart_schemas import chart  # with the first one

        name = arguments.metric_name(self._run, name)
        description = arguments.description(self._what(name), description)
        content = chart(self._what(name), kind, value)
        self._for_metrics().log_object(name, kind, content, description)

    def log_lines(self, file: str, lines: Iterable[str], stream: Stream = "file") -> None:
        """Record lines of a console or file, as many as there are; they stand in the journal when this returns.

        They go to history in batches, numbered from 0 within their file. Line breaks at the end are left out, those within a text make
        several lines of it; NUL and halves of surrogate pairs are replaced, and a line beyond 16,384 characters is cut.

        Raises:
            InvalidInput: the file's name is empty, too long or no text, or the run has ended.
        """
        recorder = self._for_metrics()
        file = arguments.file_name(self._run, file)
        for texts in packed(fitting(lines)):
            recorder.log_lines(file, stream, texts)

    def check_open(self) -> None:
        """Raise `InvalidInput` if the run has ended."""
        self._for_metrics()

    def log_image(self, name: str, image: Mapping[str, object], description: str | None) -> None:
        """Record an image: what is known of its file."""
        name = arguments.metric_name(self._run, name)
        description = arguments.description(self._what(name), description)
        self._for_metrics().log_object(name, "image", image, description)

    def add_output(self, output: AmlRunOutputEvent) -> None:
        """Record that a file of the run exists."""
        self._say(output)

    def create(self, header: RunHeader) -> None:
        """Record that the run exists, and what it is."""
        self.properties = dict(header.properties)
        self._say(AmlRunEvent(operation="Created", header=header, actor=self._actor()))

    def update(self, *, display_name: str | None = None, description: str | None = None) -> None:
        """Record another name or description."""
        if display_name is not None:
            display_name = arguments.display_name(self._run, display_name)
        if description is not None:
            description = arguments.description(self._run, description)
        self._say(AmlRunEvent(operation="Updated", display_name=display_name, description=description, actor=self._actor()))

    def set_tags(self, tags: Mapping[str, object]) -> dict[str, str | None]:
        """Record tags and return them as recorded: values become texts, None stays a tag without a value."""
        texts = arguments.tags(self._run, tags)
        self._say(AmlRunEvent(operation="Updated", tags=texts, actor=self._actor()))
        return texts

    def remove_tags(self, keys: object) -> tuple[str, ...]:
        """Record that tags are gone, and return their keys."""
        removed = arguments.tag_keys(self._run, keys)
        self._say(AmlRunEvent(operation="Updated", tags_removed=removed, actor=self._actor()))
        return removed

    def add_properties(self, properties: Mapping[str, object]) -> dict[str, str]:
        """Record properties, each of which is written once, and return them as recorded."""
        texts = arguments.properties(self._run, properties)
        for key, text in texts.items():
            if self.properties.get(key, text) != text:
                raise InvalidInput(f"run {self.run_id}: property {key!r} has another value already; properties are written once: use a tag")
        self._say(AmlRunEvent(operation="Updated", properties=texts, actor=self._actor()))
        self.properties.update(texts)
        return texts

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters; of a name that has a value already the later one counts."""
        texts = arguments.params(self._run, params)
        if texts:
            self._for_metrics().say(AmlRunEvent(operation="Updated", params=texts, actor=self._actor()))

    def go_on(self, steps: Mapping[str, int], properties: Mapping[str, str]) -> None:
        """Take over what another process said: the next step of each metric's name, and the properties, which are written once."""
        from runherald.producers.recorder import to_go_on

        self._steps.update((name, to_go_on(step)) for name, step in steps.items())
        self.properties = dict(properties)

    def report(
        self,
        status: Status,
        *,
        resume: bool = False,
        cause: Cause | None = None,
        message: str = "",
        error: ErrorEnvelope | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """Record a change of status. `resume`: as the beginning of the next attempt, whatever the run's status."""
        self._say(
            AmlRunStatusChangedEvent(
                status=status,
                header=None if self._lease_seconds else RunHeader(experiment_name=self._experiment_name),
                cause=cause,
                message=message,
                error=error,
                evidence=evidence,
                actor=self._actor(),
                resume=resume,
            )
        )
        self.session.shipper.hurry()

    def end(
        self,
        status: Status,
        *,
        timeout_seconds: float,
        cause: Cause | None = None,
        message: str = "",
        error: ErrorEnvelope | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """Record the run's end, and wait a while until it is sent; the rest is sent later.

        Raises:
            InvalidInput: the run has ended otherwise.
        """
        if self.ended is status:
            return
        if self.ended is not None:
            raise InvalidInput(f"run {self.run_id}: has ended as {self.ended} and cannot become {status}; start another run")
        for call in self.before_end.values():
            call()
        self.before_end.clear()
        self.report(status, cause=cause, message=message, error=error, evidence=evidence)
        self.ended = status
        recorder, self._recorder = self._recorder, None
        assert recorder is not None
        recorder.close()
        self._cancel_requested = recorder.queue.cancel_requested
        if not self.session.shipper.flush(recorder.queue, timeout_seconds, give_up=True):
            _log.info("run_end_waits run=%s status=%s: it stands in the journal and is sent later", self.run_id, status)
        self._rejected += recorder.queue.rejected

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was recorded is acknowledged; say whether it is."""
        recorder = self._recorder
        return recorder is None or self.session.shipper.flush(recorder.queue, timeout_seconds)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel the run, as of the last answer."""
        return self._cancel_requested or (self._recorder is not None and self._recorder.queue.cancel_requested)

    def health(self) -> Health:
        """Return how the reporting is doing."""
        error = self.session.shipper.last_error
        recorder = self._recorder
        if recorder is None:
            return Health(rejected=self._rejected, transport=str(error) if error else "")
        journal, queue = recorder.journal, recorder.queue
        return Health(
            journal=str(journal.folder.path),
            recorded=journal.next_ordinal,
            waiting=queue.behind,
            rejected=self._rejected + queue.rejected,
            lost=journal.lost,
            disk=journal.problem,
            transport=str(error) if error else "",
        )

    def _say(self, data: Data) -> None:
        self._open().say(data)

    def _open(self) -> Recorder:
        with self.session.opening:
            recorder = self._recorder
            if recorder is None or recorder.closed:
                recorder = self._recorder = self.session.open_recorder(
                    workspace=self._workspace,
                    run_id=self.run_id,
                    steps=self._steps,
                    lease_seconds=self._lease_seconds if recorder is None and self.ended is None else 0.0,
                )
            return recorder

    def _for_metrics(self) -> Recorder:
        if self.ended is not None:
            raise InvalidInput(f"run {self.run_id}: has ended as {self.ended}; nothing can be logged any more: log before that")
        return self._open()

    def _actor(self) -> Actor:
        return Actor(kind="run")

    def _what(self, name: object) -> str:
        return f"{self._run}: metric {name!r}"

    def _scalar(self, name: object, value: object) -> float | str:
        plain = values.scalar(value)
        if plain is None:
            kind = values.kind_of(value)
            raise InvalidInput(f"{self._what(name)}: value is {kind}; log a number or a text, lists with log_list, columns with log_row")
        return arguments.bounded(f"{self._what(name)}: value", plain, allowed().metric_text) if isinstance(plain, str) else plain
