"""The text in which `run_state.state` keeps the state of a run whole."""

from __future__ import annotations

import msgspec

from runherald.state import RunState

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RunState).decode


def encode_state(state: RunState) -> str:
    """Return a state as JSON."""
    return _encode(state).decode()


def decode_state(text: str) -> RunState:
    """Return the state of a text that `encode_state` made."""
    return _decode(text)
