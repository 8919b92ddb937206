"""What a model is called by: its name, the number of a version, and the two as an id; and which models are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from runherald.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,255}")
_MAX_VERSION = 2**32 - 1

Wanted = list[tuple[str, str | None]]
"""Keys that must be there, each with its value, or with None for any."""


def model_name(what: str, name: object) -> str:
    """Return a model's name.

    Raises:
        InvalidInput: it is no text of 1 to 255 letters, digits, `-`, `_` or `.`.
    """
    if not isinstance(name, str):
        raise InvalidInput(f"{what}: a model's name is a {type(name).__name__}; pass a text")
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{what}: the name cannot be a model's: 1 to 255 letters, digits, '-', '_' or '.'; take another")
    return str.__str__(name)


def model_version(what: str, version: object) -> int:
    """Return the number of a version, which a text may say, too.

    Raises:
        InvalidInput: it is no whole number above 0.
    """
    plain = int(version) if isinstance(version, str) and version.isascii() and version.isdecimal() and len(version) <= 10 else version
    if not isinstance(plain, int) or isinstance(plain, bool) or not 1 <= plain <= _MAX_VERSION:
        raise InvalidInput(f"{what}: version: is a {type(version).__name__} that is no whole number from 1 on; see Model.list")
    return plain


def name_and_version(what: str, model_id: object) -> tuple[str, int]:
    """Return what an id, `name:version`, is made of. Raises what `model_name` and `model_version` do."""
    if not isinstance(model_id, str):
        raise InvalidInput(f"{what}: id: is a {type(model_id).__name__}; pass a text such as 'digits-net:3'")
    name, _, version = model_id.rpartition(":")
    return model_name(what, name), model_version(what, version)


def wanted(what: str, given: object) -> Wanted:
    """Return which keys are wanted: `['key', ['key2', 'value']]` as azureml-core has it, one key, or a dictionary.

    Raises:
        InvalidInput: it is something else.
    """
    if given is None:
        return []
    if isinstance(given, str):
        return [(given, None)]
    if isinstance(given, Mapping):
        return [(str(key), None if value is None else str(value)) for key, value in given.items()]
    if not isinstance(given, Iterable):
        raise InvalidInput(f"{what}: is a {type(given).__name__}; pass a list such as ['key', ['key2', 'value']]")
    found: Wanted = []
    for one in given:
        if isinstance(one, str):
            found.append((one, None))
        elif isinstance(one, (list, tuple)) and len(one) == 2:
            found.append((str(one[0]), str(one[1])))
        else:
            raise InvalidInput(f"{what}: holds a {type(one).__name__} that is no key and no pair; pass ['key', ['key2', 'value']]")
    return found


def has(known: Mapping[str, str | None], wanted: Wanted) -> bool:
    """Say whether all that is wanted is there."""
    return all(key in known and value in (None, known[key]) for key, value in wanted)
