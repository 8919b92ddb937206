"""An event of each payload type with every field said: what the golden files were written from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Data,
    DebugInfo,
    ErrorEnvelope,
    Event,
    Evidence,
    LogLine,
    MetricObject,
    PathStep,
    RootError,
    RunHeader,
    TextPoint,
    new_event,
)
from runherald.status import Cause, Status

TIME = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
MICROS = 1_795_262_400_123_456

HEADER = RunHeader(
    experiment_name="digits",
    display_name="lr=0.1",
    description="One of a sweep.",
    parent_run_id="digits_parent",
    root_run_id="digits_root",
    run_type="script",
    compute_target="local",
    user="ada",
    script_name="train.py",
    tags={"team": "vision", "flag": None},
    properties={"git": "abc123"},
    created_time=TIME,
)
ACTOR = Actor(kind="run", name="host-1")

PAYLOADS: dict[str, Data] = {
    "AmlRunEvent-1": AmlRunEvent(
        operation="Created",
        header=HEADER,
        display_name="lr=0.1",
        description="One of a sweep.",
        tags={"team": "vision", "flag": None},
        tags_removed=("old",),
        properties={"git": "abc123"},
        params={"lr": "0.1"},
        actor=ACTOR,
    ),
    "AmlRunStatusChangedEvent-1": AmlRunStatusChangedEvent(
        status=Status.FAILED,
        header=HEADER,
        previous_status=Status.RUNNING,
        attempt=2,
        revision=5,
        cause=Cause.CODE_ERROR,
        message="The script raised ValueError.",
        error=ErrorEnvelope(
            error=RootError(
                code="UserError",
                message="boom",
                severity="Error",
                target="train.py",
                debug_info=DebugInfo(type="ValueError", message="boom", stack_trace="Traceback …\nValueError: boom"),
            ),
            time=TIME,
        ),
        actor=ACTOR,
        evidence=Evidence(exit_code=1, signal=9, host="node-1", pid=4242, last_seen=TIME, lease_seconds=60.0),
        claim=True,
        correction=True,
        resume=True,
        path=(PathStep(status=Status.RUNNING, time=TIME, attempt=2), PathStep(status=Status.FAILED, time=TIME)),
        start_time=TIME,
        end_time=TIME + timedelta(minutes=1),
        reported_id="2460337e-9c5b-5c4f-841b-29c9f078087d",
    ),
    "AmlRunHeartbeatEvent-1": AmlRunHeartbeatEvent(lease_seconds=60.0, host="node-1", pid=4242),
    "AmlRunMetricEvent-1": AmlRunMetricEvent(
        records=5,
        names=("loss", "accuracy"),
        series=[0, 1, 0],
        steps=[0, 0, 1],
        times=[MICROS, MICROS + 1, MICROS + 2],
        values=[0.5, 0.0, -1.25e-9],
        nonfinite={"1": "NaN"},
        texts=(TextPoint(name="note", step=0, time=MICROS, text="warm-up ✓"),),
        objects=(MetricObject(name="confusion", kind="confusion_matrix", step=1, time=MICROS, value={"data": [[1, 0], [0, 1]]}),),
        descriptions={"loss": "Mean of the batch."},
    ),
    "AmlRunLogEvent-1": AmlRunLogEvent(
        records=2, file="user_logs/std_err.txt", stream="stderr", lines=(LogLine(number=7, time=MICROS, text="epoch 1\t✓"),)
    ),
    "AmlRunOutputEvent-1": AmlRunOutputEvent(
        path="outputs/model.pt", size=1024, sha256="0" * 64, content_type="application/octet-stream", uri="file:///outputs/model.pt"
    ),
}


def event_of(data: Data) -> Event:
    """Return the event around a payload that the golden files hold."""
    return new_event(
        data,
        workspace="default",
        run_id="digits_1",
        producer="host-1",
        sequence=7,
        time=TIME,
        recorded_time=TIME + timedelta(milliseconds=3),
    )
