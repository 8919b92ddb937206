"""The figures of a worker: each of its processes writes how full its queues are into shared memory, and one of them serves all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runherald.errors import InvalidInput
from runherald.streams.fill import Fill, fill_figures

QUEUES = ("faust", "arrivals", "taken")
"""The places where records wait in a worker's process, in the order in which they pass them."""
_NUMBERS = 4
_MOST_PORTS = 65_535


class FillBoard:
    """How full the queues of one process are: written in it, read in the one that forked it. A number is never seen half written."""

    def __init__(self) -> None:
        self._numbers = RawArray("d", _NUMBERS * len(QUEUES))

    def write(self, fills: Sequence[Fill]) -> None:
        """Put down how full the queues are; those that are not of `QUEUES` are left out."""
        for fill in fills:
            begin = _NUMBERS * QUEUES.index(fill.queue)
            self._numbers[begin : begin + _NUMBERS] = [fill.items, fill.items_limit, fill.size, fill.size_limit]

    def read(self) -> list[Fill]:
        """Return what was written last; nothing of a queue that was not written yet."""
        numbers = [int(number) for number in self._numbers]
        parts = [numbers[begin : begin + _NUMBERS] for begin in range(0, len(numbers), _NUMBERS)]
        return [Fill(queue, *part) for queue, part in zip(QUEUES, parts, strict=True) if part[1]]


@contextmanager
def serving_figures(address: str, boards: Mapping[str, FillBoard]) -> Iterator[None]:
    """Serve the boards' figures on `HOST:PORT` for Prometheus, in a thread; an empty address serves nothing.

    Raises:
        InvalidInput: it is no such address, or cannot be listened on.
    """
    if not address:
        yield
        return
    host, port = parse_address(address)
    registry = CollectorRegistry()
    registry.register(_Boards(boards))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidInput(f"--metrics: cannot listen on {address} ({error.strerror}); choose another port") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`.

    Raises:
        InvalidInput: it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _MOST_PORTS:
        raise InvalidInput("--metrics: is no address; write HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]"), int(port)


class _Boards(Collector):
    def __init__(self, boards: Mapping[str, FillBoard]) -> None:
        self._boards = boards

    def collect(self) -> Iterable[Metric]:
        return fill_figures((name, fill) for name, board in self._boards.items() for fill in board.read())
