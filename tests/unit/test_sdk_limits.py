"""Each limit can be set, holds where a script passes too much, and never lets through what a server refuses."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from runherald import Experiment, Run, Workspace
from runherald.errors import InvalidEvent, InvalidInput
from runherald.events import AmlRunStatusChangedEvent, Event
from runherald.limits import DEFAULT_LIMITS, FIXED, SERVER_LIMITS, Limits
from runherald.producers.journal.folder import journal_folders
from runherald.producers.journal.reader import JournalReader
from runherald.producers.shipping.batching import to_events
from runherald.validation import check_event


@pytest.fixture
def home(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("LOG", "WORKSPACE", "TOKEN", "CONFIG", "FILES"):
        monkeypatch.delenv(f"RUNHERALD_{name}", raising=False)
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{free_port}")
    yield tmp_path / "home"
    Workspace().session.close()
    for name in SETTABLE:
        monkeypatch.delenv(f"RUNHERALD_LIMITS__{name.upper()}", raising=False)
    Workspace()  # with the limits that others expect


def said(home: Path) -> list[Event]:
    """Return what stands in the journals."""
    return [event for folder in journal_folders(home) for event in to_events(JournalReader(folder).read(10_000), folder.head()).events]


def many(number: int) -> dict[str, str]:
    return {f"{index}": "" for index in range(number)}


def is_refused(event: Event, limits: Limits) -> bool:
    try:
        check_event(event, limits)
    except InvalidEvent:
        return True
    return False


SETTABLE = sorted(set(asdict(DEFAULT_LIMITS)) - FIXED)
CALLS: dict[str, Callable[[Run, int], Any]] = {
    "experiment_name": lambda run, size: Experiment(run.experiment.workspace, "x" * size),
    "display_name": lambda run, size: setattr(run, "display_name", "x" * size),
    "description": lambda run, size: setattr(run, "description", "x" * size),
    "tags": lambda run, size: run.set_tags(many(size)),
    "tag_key": lambda run, size: run.tag("x" * size),
    "tag_value": lambda run, size: run.tag("a", "x" * size),
    "properties": lambda run, size: run.add_properties(many(size)),
    "property_key": lambda run, size: run.add_properties({"x" * size: ""}),
    "property_value": lambda run, size: run.add_properties({"a": "x" * size}),
    "metric_name": lambda run, size: run.log("x" * size, 1.0),
    "metric_text": lambda run, size: run.log_list("notes", ["x" * size]) if size % 2 else run.log("note", "x" * size),
    "path": lambda run, size: run.upload_file("x/" * (size // 2 - 1) + "y" * (size % 2 + 2), io.BytesIO()),
}
"""Calls with something of a size, by the limit that it is held to. An error's text and traceback are cut off instead."""


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_limit_can_be_set_lower_and_names_what_is_beyond(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"RUNHERALD_LIMITS__{name.upper()}", "7")
    run = Experiment(Workspace(), "digits").start_logging()
    CALLS[name](run, 7)
    with pytest.raises(InvalidInput, match=r"(?s)(8|more than 7).*(7|shorten|remove some|use tags)"):
        CALLS[name](run, 8)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"experiment_name", "path"}))
def test_a_limit_can_be_set_as_high_as_servers_take(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    beyond, most = getattr(DEFAULT_LIMITS, name) + 1, getattr(SERVER_LIMITS, name)
    run = Experiment(Workspace(), "digits").start_logging()
    with pytest.raises(InvalidInput):
        CALLS[name](run, beyond)
    monkeypatch.setenv(f"RUNHERALD_LIMITS__{name.upper()}", str(most))
    CALLS[name](Experiment(Workspace(), "digits").start_logging(), most)
    run.flush(0.1)
    events = said(home)
    for event in events:
        check_event(event, SERVER_LIMITS)
    assert any(is_refused(event, replace(SERVER_LIMITS, **{name: most - 1})) for event in events)  # what was checked was of that size


def test_an_error_is_cut_to_its_limits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNHERALD_LIMITS__MESSAGE", "40")
    monkeypatch.setenv("RUNHERALD_LIMITS__STACK_TRACE", "50")
    with pytest.raises(ValueError, match="x"), Experiment(Workspace(), "digits").start_logging():
        raise ValueError("x" * 500)
    [failed] = [event.data for event in said(home) if isinstance(event.data, AmlRunStatusChangedEvent) and event.data.error]
    assert failed.error is not None
    assert failed.error.error.debug_info is not None
    assert len(failed.error.error.message) == len(failed.message) == 40
    assert len(failed.error.error.debug_info.stack_trace) == 50


def test_no_limit_that_is_set_by_default_is_beyond_what_servers_take() -> None:
    servers = asdict(SERVER_LIMITS)
    assert [name for name, most in asdict(DEFAULT_LIMITS).items() if most > servers[name]] == []
