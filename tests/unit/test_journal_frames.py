"""Frames: whatever happens to the bytes, what comes back was written, with its own number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runherald.producers.journal.frames import MAGIC, Damage, Frame, frame, scan

PAYLOADS = st.lists(st.binary(max_size=60) | st.just(MAGIC * 3), min_size=1, max_size=12)


def written(payloads: list[bytes], first: int = 0) -> bytes:
    return b"".join(frame(first + index, payload) for index, payload in enumerate(payloads))


def records(data: bytes) -> list[tuple[int, bytes]]:
    return [(found.ordinal, found.payload) for found in scan(data) if isinstance(found, Frame)]


def damages(data: bytes) -> list[Damage]:
    return [found for found in scan(data) if isinstance(found, Damage)]


@given(PAYLOADS, st.integers(0, 2**40))
def test_what_was_written_comes_back(payloads: list[bytes], first: int) -> None:
    data = written(payloads, first)
    assert records(data) == [(first + index, payload) for index, payload in enumerate(payloads)]
    assert damages(data) == []


@given(PAYLOADS, st.data())
def test_any_truncation_yields_the_whole_frames_before_it_and_a_torn_rest(payloads: list[bytes], draw: st.DataObject) -> None:
    data = written(payloads)
    length = draw.draw(st.integers(0, len(data) - 1))
    whole = [index for index in range(len(payloads)) if len(written(payloads[: index + 1])) <= length]
    at_a_border = length == len(written(payloads[: len(whole)]))

    assert records(data[:length]) == [(index, payloads[index]) for index in whole]
    assert [damage.torn for damage in damages(data[:length])] == ([] if at_a_border else [True])


@given(PAYLOADS, st.data())
def test_a_changed_byte_costs_its_own_record_and_is_reported(payloads: list[bytes], draw: st.DataObject) -> None:
    data = bytearray(written(payloads))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    hit = next(index for index in range(len(payloads)) if place < len(written(payloads[: index + 1])))

    assert records(bytes(data)) == [(index, payload) for index, payload in enumerate(payloads) if index != hit]
    assert len(damages(bytes(data))) == 1


@given(PAYLOADS, st.binary(min_size=1, max_size=40), st.data())
def test_inserted_bytes_cost_one_record_at_most(payloads: list[bytes], inserted: bytes, draw: st.DataObject) -> None:
    data = written(payloads)
    place = draw.draw(st.integers(0, len(data)))
    found = records(data[:place] + inserted + data[place:])

    assert set(found) <= set(enumerate(payloads))
    assert len(found) >= len(payloads) - 1
    assert found == sorted(found)
