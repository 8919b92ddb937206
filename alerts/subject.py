"""The subject of a mail: what happened, to which run, and why, in one line."""

from __future__ import annotations

from runherald.alerts.words import CAUSES
from runherald.events import AmlRunStatusChangedEvent
from runherald.status import Status

LONGEST = 160
"""Characters; phones show some 40, and mail programs cut what is longer than a line."""

_LONGEST_NAME = 90
_LONGEST_MESSAGE = 80


def subject_of(transition: AmlRunStatusChangedEvent, run_id: str) -> str:
    """Return the subject, such as `Failed: digits/lr=10 — ValueError: boom`, without control characters."""
    name = run_name(transition, run_id)
    if transition.correction:
        what = "Corrected" if transition.status is Status.RUNNING else f"Corrected: {transition.status}"
    else:
        what = str(transition.status)
    why = reason_of(transition)
    subject = f"{what}: {_cut(name, _LONGEST_NAME)}"
    return _cut(f"{subject} — {why}" if why else subject, LONGEST)


def run_name(transition: AmlRunStatusChangedEvent, run_id: str) -> str:
    """Return experiment and run as people call them."""
    header = transition.header
    if header is None:
        return one_line(run_id)
    name = header.display_name or run_id
    return one_line(f"{header.experiment_name}/{name}" if header.experiment_name else name)


def reason_of(transition: AmlRunStatusChangedEvent) -> str:
    """Return why, in a few words, or nothing where the status says all."""
    if transition.correction:
        before = str(transition.previous_status or "silent")
        return f"the run is alive, {before} was wrong" if transition.status is Status.RUNNING else f"{before} was wrong"
    evidence = transition.evidence
    if transition.status is Status.NOT_RESPONDING and evidence is not None and evidence.lease_seconds:
        return f"no sign of life for {evidence.lease_seconds:g} s"
    error = error_line(transition)
    # Of a verdict the cause is the point; its error object says the same in more words.
    if error and not transition.claim:
        return _cut(error, _LONGEST_MESSAGE)
    return CAUSES[transition.cause] if transition.cause else _cut(error, _LONGEST_MESSAGE)


def error_line(transition: AmlRunStatusChangedEvent) -> str:
    """Return type and message of the error in one line, or nothing."""
    if transition.error is None:
        return ""
    error = transition.error.error
    kind = error.debug_info.type if error.debug_info else ""
    message = (error.debug_info.message if error.debug_info else "") or error.message
    # Some producers put the type into the message too.
    said = [kind] if kind and not message.startswith(kind) else []
    return one_line(": ".join([*said, message] if message else said))


def one_line(text: str) -> str:
    """Return a text without control characters, in one line: what a header may hold."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
