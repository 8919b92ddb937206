"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runherald.producers.server.client import ApiClient
from tests.unit.canned_api import CannedApi, canned_api


@pytest.fixture
def api() -> Iterator[CannedApi]:
    """A server that gives canned answers."""
    with canned_api() as served:
        yield served


@pytest.fixture
def client(api: CannedApi) -> Iterator[ApiClient]:
    """A client of that server."""
    opened = ApiClient(api.url)
    yield opened
    opened.close()
