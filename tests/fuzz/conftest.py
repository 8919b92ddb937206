"""The server that the tests here share: what one did to it, the next one meets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runherald.wire import CONTENT_TYPE, encode_batch
from tests.fuzz.fuzzed_server import FuzzedServer
from tests.fuzz.seeds import EVENTS


@pytest.fixture(scope="session")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedServer]:
    """Give a server that knows one run."""
    with FuzzedServer(tmp_path_factory.mktemp("fuzzed")) as server:
        taken = server.request("POST", "/api/v1/events", encode_batch(EVENTS), [("Content-Type", CONTENT_TYPE)])
        assert taken.status == 200
        yield server
