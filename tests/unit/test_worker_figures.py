"""The figures of a worker's processes, served by one of them."""

from __future__ import annotations

import multiprocessing
from urllib.request import urlopen

import pytest

from runherald.errors import InvalidInput
from runherald.streams.fill import Fill
from runherald.streams.worker_figures import FillBoard, parse_address, serving_figures

FILLS = [Fill("arrivals", 7, 4_000, 1_000, 16_777_216), Fill("taken", 3, 20_000, 42, 16_777_216)]


def test_what_another_process_writes_is_served(free_port: int) -> None:
    boards = {"history": FillBoard(), "logs": FillBoard()}
    writing = multiprocessing.get_context("fork").Process(target=boards["history"].write, args=(FILLS,))
    writing.start()
    writing.join(20)
    assert writing.exitcode == 0
    with serving_figures(f"127.0.0.1:{free_port}", boards), urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    assert 'runherald_queue_items{processor="history",queue="arrivals"} 7.0' in lines
    assert 'runherald_queue_items_limit{processor="history",queue="taken"} 20000.0' in lines
    assert 'runherald_queue_bytes{processor="history",queue="taken"} 42.0' in lines
    assert 'runherald_queue_bytes_limit{processor="history",queue="arrivals"} 1.6777216e+07' in lines
    assert not [line for line in lines if 'processor="logs"' in line], "what was not written yet has no figure"


def test_a_port_that_is_taken_is_named(free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    with (
        serving_figures(address, {}),
        pytest.raises(InvalidInput, match=f"--metrics: cannot listen on {address}"),
        serving_figures(address, {}),
    ):
        pass


@pytest.mark.parametrize("address", ["9464", "localhost", ":9464", "localhost:http", "localhost:0", "localhost:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="--metrics: is no address; write HOST:PORT"):
        parse_address(address)


def test_an_address_may_be_of_the_sixth_version() -> None:
    assert parse_address("[::1]:9464") == ("::1", 9464)
