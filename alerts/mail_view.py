"""What a mail shows, worked out: a pure function of the notice, its context and the time. Templates only lay it out."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from runherald.alerts.conditions import duration
from runherald.alerts.outbox import Notice
from runherald.alerts.subject import error_line, reason_of
from runherald.alerts.words import CAUSES, SEVERITIES, STATUSES
from runherald.durations import duration_in_words
from runherald.events import AmlRunStatusChangedEvent, RunHeader
from runherald.sinks.run_context import RunContext
from runherald.status import TERMINAL, Cause, Status

TRACEBACK_LINES = 20
LINE_CHARACTERS = 300
PATH_STEPS = 8

_STEERING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Tone = Literal["bad", "warning", "good", "calm"]


class Fact(Struct, frozen=True):
    """A labelled line."""

    label: str
    value: str


class Step(Struct, frozen=True):
    """A status on the run's way; `took` is empty for the last."""

    status: str
    time: str
    took: str


class MetricLine(Struct, frozen=True):
    """A metric in numbers as text."""

    name: str
    last: str
    lowest: str
    highest: str
    step: str


class MailView(Struct, frozen=True, kw_only=True):
    """Everything a template needs. Texts are plain; the template escapes them."""

    subject: str
    headline: str
    tone: Tone
    status: str
    experiment: str
    why: str
    explanation: str
    traceback: str
    facts: tuple[Fact, ...]
    path: tuple[Step, ...]
    earlier_steps: int
    metrics: tuple[MetricLine, ...]
    lines: str
    sweep: str
    missing: str
    link: str
    times: tuple[Fact, ...]
    delay: str
    rule: str
    severity: str
    told_because: str


def mail_view(notice: Notice, context: RunContext | None, now: datetime, *, public_url: str) -> MailView:
    """Return what the mail of a notice shows when it is sent now."""
    data = notice.transition
    header = data.header or RunHeader(experiment_name="")
    name = header.display_name or notice.run_id
    return MailView(
        subject=notice.subject,
        headline=f"{name} {_what(data)}",
        tone=_tone(data),
        status=str(data.status),
        experiment=header.experiment_name,
        why="" if data.correction else error_line(data) or _capital(reason_of(data)),
        explanation=_plain(_explanation(data)),
        traceback=_tail(_plain(data.error.error.debug_info.stack_trace if data.error and data.error.error.debug_info else "")),
        facts=tuple(_facts(notice, header)),
        path=tuple(_path(data))[-PATH_STEPS:],
        earlier_steps=max(len(data.path) - PATH_STEPS, 0),
        metrics=tuple(
            MetricLine(metric.name, f"{metric.last:.6g}", f"{metric.lowest:.6g}", f"{metric.highest:.6g}", str(metric.last_step))
            for metric in (context.metrics if context else ())
        ),
        lines="\n".join(_plain(line)[:LINE_CHARACTERS].rstrip() for line in (context.lines if context else ())),
        sweep=_sweep(data, header, context) if context else "",
        missing="" if context else "Metrics and log lines are not here, since history did not answer in time.",
        link=f"{public_url}/runs/{quote(notice.run_id, safe='')}" if public_url else "",
        times=(
            Fact("Happened", say_time(notice.event_time)),
            Fact("Decided", say_time(notice.decided_time)),
            Fact("Sent", say_time(now)),
        ),
        delay=f"Sent {duration_in_words(now - notice.event_time)} after the event.",
        rule=notice.rule,
        severity=SEVERITIES[notice.severity],
        told_because=notice.reason.partition(": ")[2] or notice.reason,
    )


def say_time(moment: datetime) -> str:
    """Return a time as `2026-11-21 12:00:00.000 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC"


def _what(data: AmlRunStatusChangedEvent) -> str:
    if data.correction and data.status is Status.RUNNING:
        return "is running after all"
    if data.correction:
        return f"{STATUSES[data.status]} after all"
    return STATUSES[data.status]


def _tone(data: AmlRunStatusChangedEvent) -> Tone:
    match data.status:
        case Status.FAILED:
            return "bad"
        case Status.NOT_RESPONDING | Status.CANCELED | Status.CANCEL_REQUESTED:
            return "warning"
        case Status.COMPLETED:
            return "good"
        case _:
            return "good" if data.correction else "calm"


def _explanation(data: AmlRunStatusChangedEvent) -> str:
    if data.correction:
        return f"An earlier mail said {data.previous_status}. The run was heard of again, so that was not so."
    if data.status is Status.NOT_RESPONDING:
        return "It may be dead, or cut off from the network. If it is heard of again, a mail will say so."
    if data.claim:
        return "This is concluded from its silence. If it is heard of again, a mail will say so."
    said = error_line(data)
    return "" if said and (said in data.message or data.message in said) else data.message


def _facts(notice: Notice, header: RunHeader) -> Iterator[Fact]:
    data = notice.transition
    cause = CAUSES[data.cause] if data.cause and data.cause is not Cause.UNKNOWN else ""
    yield Fact("Status", f"{data.status}, {cause}" if cause else str(data.status))
    ran = duration(data, notice.event_time)
    if ran is not None:
        yield Fact("Ran for", duration_in_words(ran))
    if header.experiment_name:
        yield Fact("Experiment", header.experiment_name)
    yield Fact("Run", notice.run_id)
    if data.attempt > 1:
        yield Fact("Attempt", str(data.attempt))
    if header.user:
        yield Fact("Submitted by", header.user)
    if data.actor and data.actor.kind in ("user", "rule") and data.actor.name:
        yield Fact("Changed by", data.actor.name)
    if header.compute_target:
        yield Fact("Compute target", header.compute_target)
    yield from _evidence(data)
    if header.tags:
        yield Fact("Tags", ", ".join(key if value is None else f"{key}={value}" for key, value in sorted(header.tags.items()))[:500])


def _evidence(data: AmlRunStatusChangedEvent) -> Iterator[Fact]:
    evidence = data.evidence
    if evidence is None:
        return
    if evidence.exit_code is not None:
        yield Fact("Exit code", str(evidence.exit_code))
    if evidence.signal is not None:
        yield Fact("Killed by signal", _signal(evidence.signal))
    if evidence.last_seen is not None:
        yield Fact("Last heard of", say_time(evidence.last_seen))
    if evidence.lease_seconds is not None:
        yield Fact("Sign of life due every", f"{evidence.lease_seconds:g} s")
    if evidence.host:
        yield Fact("Host", f"{evidence.host}, process {evidence.pid}" if evidence.pid is not None else evidence.host)


def _signal(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return str(number)


def _path(data: AmlRunStatusChangedEvent) -> Iterator[Step]:
    for index, step in enumerate(data.path):
        following = data.path[index + 1].time if index + 1 < len(data.path) else None
        yield Step(str(step.status), say_time(step.time), duration_in_words(following - step.time) if following else "")


def _sweep(data: AmlRunStatusChangedEvent, header: RunHeader, context: RunContext) -> str:
    parts = []
    if header.parent_run_id:
        counts = {**context.siblings, str(data.status): context.siblings.get(str(data.status), 0) + 1}
        parts.append(f"{context.parent_name or header.parent_run_id}: {_progress(counts)}")
    if context.children:
        parts.append(f"Its own children: {_progress(context.children)}")
    return " ".join(parts)


def _progress(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    ended = sum(count for status, count in counts.items() if status in TERMINAL)
    each = ", ".join(f"{count} {status}" for status, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return f"{ended} of {total} {'run has' if total == 1 else 'runs have'} ended ({each})."


def _tail(stack_trace: str) -> str:
    lines = stack_trace.rstrip().splitlines()
    shown = [line[:LINE_CHARACTERS] for line in lines[-TRACEBACK_LINES:]]
    return "\n".join([f"… {len(lines) - TRACEBACK_LINES} lines above", *shown] if len(lines) > TRACEBACK_LINES else shown)


def _plain(text: str) -> str:
    """Return a text without what steers a terminal: some mail programs are in one. Consoles' colours are most of it."""
    return _STEERING.sub("", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
