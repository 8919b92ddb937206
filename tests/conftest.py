"""Fixtures of all tests, and what holds for all."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

pytest_plugins = ("tests.fixtures.parts", "tests.fixtures.chdb", "tests.fixtures.whole_server")

# What a run says of its own stands first in most tests; those of the provenance ask for it.
os.environ["RUNHERALD_PROVENANCE"] = "false"

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("runherald", deadline=None)
settings.load_profile("runherald")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write halves of surrogate pairs out in what a test printed: processes of tests cannot send them to each other."""
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report
