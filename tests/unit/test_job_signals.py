"""Signals that ask for the end, taken for a while: each is heard, those that are ignored stay so, and all is as before afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from runherald.producers.jobs.signals import taken

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals to itself")


def test_signals_are_taken_within_the_block_alone() -> None:
    heard: list[int] = []
    ends = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in ends]
    with taken(heard.append):
        for number in ends:
            signal.raise_signal(number)
    assert heard == [*ends]
    assert [signal.getsignal(number) for number in ends] == before


def test_a_signal_that_is_ignored_stays_so() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with taken(heard.append):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard == []


def test_in_another_thread_nothing_is_changed() -> None:
    during: list[object] = []

    def run() -> None:
        with taken(during.append):
            during.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert during == [signal.getsignal(signal.SIGTERM)]
