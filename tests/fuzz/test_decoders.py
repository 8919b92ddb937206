"""Whatever the bytes, each decoder takes them or says what is wrong with them: see `tests.fuzz.decoders`.

The inputs are the same in every run, so that a test that passed here passes elsewhere; `make fuzz` looks for new ones.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runherald.records import Outgoing
from runherald.wire import encode_batch
from tests.fuzz.decoders import DECODERS, SEPARATOR, decode_batch, decode_bundle, decode_letter, decode_record, record_of, text_of
from tests.fuzz.guided import NAMES
from tests.fuzz.odd import ODD_JSON, ODD_TEXTS, changed, changed_json, in_each_place
from tests.fuzz.seeds import BUNDLE, EVENTS, RECORDS, SEEDS

FIXED = settings(derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def test_what_is_fuzzed_can_be_named() -> None:
    assert set(NAMES) == set(DECODERS) == set(SEEDS)


@pytest.mark.parametrize(("name", "content"), [(name, content) for name, contents in SEEDS.items() for content in contents])
def test_the_good_inputs_are_good(name: str, content: bytes) -> None:
    DECODERS[name](content)


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "rules"])
@given(data=st.data())
@settings(FIXED, max_examples=100)
def test_changed_bytes(name: str, data: st.DataObject) -> None:
    DECODERS[name](data.draw(changed(SEEDS[name])))


@given(changed(SEEDS["rules"]))
@settings(FIXED, max_examples=200)
def test_changed_rule_files(content: bytes) -> None:
    DECODERS["rules"](content)


@given(changed_json([encode_batch([event]) for event in EVENTS] + [encode_batch(EVENTS)]))
@settings(FIXED, max_examples=200)
def test_events_over_http_with_odd_values(body: bytes) -> None:
    decode_batch(body)


@pytest.mark.parametrize("odd", ODD_JSON, ids=lambda odd: repr(odd[:24]))
def test_each_odd_value_in_each_place_of_an_event(odd: bytes) -> None:
    for event in EVENTS:
        for body in in_each_place(encode_batch([event]), odd):
            decode_batch(body)


_LISTED, _, _MEMBERS = BUNDLE.partition(SEPARATOR)


def test_the_journals_of_a_good_bundle_are_whole() -> None:
    assert SEPARATOR not in _LISTED
    assert _MEMBERS.count(SEPARATOR) == 5


@given(changed_json([_LISTED]))
@settings(FIXED, max_examples=100)
def test_bundles_that_list_their_journals_oddly(listed: bytes) -> None:
    decode_bundle(listed + SEPARATOR + _MEMBERS)


@pytest.mark.parametrize("odd", ODD_JSON, ids=lambda odd: repr(odd[:24]))
def test_each_odd_value_in_each_place_of_what_a_bundle_lists(odd: bytes) -> None:
    for listed in in_each_place(_LISTED, odd):
        decode_bundle(listed + SEPARATOR + _MEMBERS)


@st.composite
def odd_records(draw: st.DrawFn) -> bytes:
    """Return a record of the log with an odd header, or an odd payload, or one that is not there."""
    good = draw(st.sampled_from(RECORDS))
    headers = dict(good.headers)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([name for name, _ in good.headers]))
        if draw(st.booleans()):
            headers[name] = draw(st.sampled_from(ODD_TEXTS) | st.binary(max_size=12))
        else:
            headers.pop(name, None)
    value = draw(st.one_of(st.just(good.value), changed_json([good.value]), st.binary(max_size=40)))
    topic = draw(st.sampled_from([good.topic, "runherald.logs", "runherald.dead-letters", "other"]))
    return text_of(Outgoing(topic, draw(st.sampled_from([good.key, None, b"\xff"])), value, tuple(headers.items())))


@given(odd_records())
@settings(FIXED, max_examples=200)
def test_odd_records(text: bytes) -> None:
    decode_record(text)
    decode_letter(text)


def test_a_record_is_its_text() -> None:
    for record in RECORDS:
        assert record_of(text_of(record)) == record
