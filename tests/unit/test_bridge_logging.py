"""Python's log becomes lines of a run, without ever reaching back into who logs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runherald import Experiment, Run, Workspace
from runherald.bridges.logging import RunHandler
from runherald.producers.shipping.shipper import THREAD_NAME
from tests.fixtures.journalled import lines


@pytest.fixture
def run(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    workspace = Workspace(url=f"http://127.0.0.1:{free_port}")
    yield Experiment(workspace, "logged").start_logging()
    workspace.session.close()


@pytest.fixture
def handler(run: Run) -> Iterator[RunHandler]:
    handler = RunHandler(run, level=logging.INFO)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def script(handler: RunHandler) -> Iterator[logging.Logger]:
    logger = logging.getLogger("train")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(logging.NOTSET)


def test_records_are_lines_with_their_tracebacks(tmp_path: Path, run: Run, handler: RunHandler, script: logging.Logger) -> None:
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    script.debug("too low")
    script.info("epoch %d", 1)
    script.warning("odd \0 \ud83d bytes")
    try:
        raise ValueError("boom")
    except ValueError:
        script.exception("it failed")
    found = lines(tmp_path, run.id)
    assert {file for file, _ in found} == {"logs/python.log"}
    texts = [text for _, text in found]
    assert texts[:4] == [
        "INFO train: epoch 1",
        "WARNING train: odd \ufffd ? bytes",
        "ERROR train: it failed",
        "Traceback (most recent call last):",
    ]
    assert texts[-1] == "ValueError: boom"


def test_what_this_package_and_its_sender_log_is_left_to_others(
    tmp_path: Path, run: Run, handler: RunHandler, script: logging.Logger
) -> None:
    logging.getLogger("runherald.shipper").warning("shipper_waits")
    logging.getLogger("runherald").warning("itself")
    sender = threading.Thread(target=lambda: script.info("a library that sends"), name=THREAD_NAME)
    sender.start()
    sender.join()
    logging.getLogger("runheraldish").warning("another's")
    assert [text.partition("ish: ")[2] for _, text in lines(tmp_path, run.id)] == ["another's"]


def test_who_holds_the_journal_may_log_while_another_waits_for_it(run: Run, handler: RunHandler, script: logging.Logger) -> None:
    recorder = run._writer._recorder
    assert recorder is not None
    waits = threading.Thread(target=lambda: script.info("waits for the journal with the handler's lock held"), daemon=True)
    with recorder.journal.lock:
        waits.start()
        logs = threading.Thread(target=lambda: logging.getLogger("runherald.journal").warning("journal_not_on_disk"), daemon=True)
        logs.start()
        logs.join(20)
        assert not logs.is_alive()
    waits.join(20)
    assert not waits.is_alive()


def test_no_fault_reaches_who_logs(
    tmp_path: Path, run: Run, handler: RunHandler, script: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.handle(logging.LogRecord("train", logging.INFO, __file__, 1, "one too %d few %d", (1,), None))
    assert "not enough arguments" in capsys.readouterr().err
    script.info("before")
    run.complete()
    script.info("after the end")
    assert [text.partition("train: ")[2] for _, text in lines(tmp_path, run.id)] == ["before"]
