"""Inputs made to measure: good ones with something odd in one place, and good ones with bytes changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_PLACE = "\x00odd\x00"
_MARK = json.dumps(_PLACE).encode()

ODD_JSON: tuple[bytes, ...] = (
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"0", b"-1", b"1.5", b"-0", b"1e-400", b"1e400", b"1e308"),
    *(
        b"9223372036854775807",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"18446744073709551616",
        b"9" * 5_000,
        b"1" + b"0" * 400 + b".0",
    ),
    *(b"NaN", b"Infinity", b"-Infinity", b"nan", b"0x10", b"01", b"1.", b".5", b"'x'", b"undefined"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"a\\nb"', b'"\x00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"'),
    *('"\u202e\ufeff\U0010ffff"'.encode(), b'"' + b"x" * 70_000 + b'"', b'"../../etc/passwd"', b'"."', b'"\'; DROP TABLE runs --"'),
    *(
        b"[" * 500 + b"]" * 500,
        b"[" * 20_000,
        b"[" * 20_000 + b"]" * 20_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"a":1,"a":2}',
        b'{"":""}',
    ),
    *(b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59.999999-23:59"', b'"1970-01-01T00:00:00+14:00"', b'"2026-11-21T12:00:00"'),
    *(b'"2016-12-31T23:59:60Z"', b'"2026-02-30T00:00:00Z"', b'"2026-11-21T12:00:00.123456789Z"', b'"20261121T120000Z"'),
    *('"٣"'.encode(), b'"1e3"', b'"-1"', b'"18446744073709551616"', b'"NaN"', b'"urn:runherald:schema:AmlRunEvent:9999"', b'[null,1,"x"]'),
)
"""Values of JSON, or nearly: what stands where another kind, size or character was meant."""

ODD_TEXTS: tuple[bytes, ...] = (
    *(
        b"",
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\r\n",
        b"-1",
        b"1" * 5_000,
        b"1.0",
        b"1e9",
        b"NaN",
        b"2026-11-21",
        b"0001-01-01T00:00:00+23:59",
    ),
    *("٣".encode(), "²".encode(), "\u202e".encode(), b"x" * 70_000, b"urn:runherald:schema::", b"urn:runherald:schema:x:99999", b"Other"),
)
"""Values of a header."""


@st.composite
def changed_json(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Return one of some JSON texts with odd values, up to three, in the place of its own or beside them."""
    tree = json.loads(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, 3))):
        tree = _marked(draw, tree)
    text = json.dumps(tree).encode()
    while _MARK in text:
        text = text.replace(_MARK, draw(st.sampled_from(ODD_JSON)), 1)
    return text


def in_each_place(good: bytes, odd: bytes) -> Iterator[bytes]:
    """Go through a JSON text with one value after the other replaced."""
    tree = json.loads(good)
    places: list[tuple[Any, Any]] = []
    _gather(tree, places)
    for inside, key in places:
        value, inside[key] = inside[key], _PLACE
        yield json.dumps(tree).encode().replace(_MARK, odd)
        inside[key] = value


@st.composite
def changed_bytes(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Return one of some texts with a few stretches replaced, doubled or left out."""
    text = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 9)))
        put = draw(st.one_of(st.binary(max_size=6), st.sampled_from(ODD_TEXTS), st.just(text[start:end] * 2)))
        text = text[:start] + put + text[end:]
    return text


def changed(good: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Return changed texts, and now and then anything at all."""
    return st.one_of(changed_bytes(good), changed_bytes(good), st.binary(max_size=200))


def _marked(draw: st.DrawFn, tree: Any) -> Any:
    """Return a tree with one place marked: a value, or a key that is added."""
    places: list[tuple[Any, Any]] = []
    _gather(tree, places)
    if not places or draw(st.integers(0, 19)) == 0:
        return _PLACE
    inside, key = draw(st.sampled_from(places))
    if isinstance(inside, dict) and draw(st.integers(0, 5)) == 0:
        key = draw(st.sampled_from(["", "\x00", "x" * 300, key + "\u202e", "ext"]))
    inside[key] = _PLACE
    return tree


def _gather(tree: Any, places: list[tuple[Any, Any]]) -> None:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        places.append((tree, key))
        _gather(value, places)
