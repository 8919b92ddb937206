"""What must not change between two states of a JSON schema, so that whatever was written stays readable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from runherald.events import VERSIONS

Schema = Mapping[str, Any]
Definitions = Mapping[str, Schema]

_IGNORED = {"title", "description", "default", "required", "properties", "enum"}


def definitions(kinds: Iterable[type[msgspec.Struct]] = tuple(VERSIONS)) -> Definitions:
    """Return the schemas of all payloads, or of other data, and of what they are made of."""
    _, found = msgspec.json.schema_components(tuple(kinds), ref_template="#/$defs/{name}")
    plain = {name: {key: value for key, value in schema.items() if key != "description"} for name, schema in found.items()}
    return msgspec.json.decode(msgspec.json.encode(plain), type=dict[str, Any])


def breaks(old: Definitions, new: Definitions) -> list[str]:
    """Return what of the new schemas cannot read what the old ones wrote, each by its path."""
    return [line for name in old for line in _breaks(name, old[name], new.get(name))]


def _breaks(path: str, old: Schema, new: Schema | None) -> Iterator[str]:
    if new is None:
        yield f"{path} is gone"
        return
    fields: Schema = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        yield from _breaks(f"{path}.{name}", schema, fields.get(name))
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{path}.{name} is required now"
    gone = [value for value in old.get("enum", ()) if value not in new.get("enum", ())]
    if gone:
        yield f"{path} takes {gone} no more"
    # A default is left out of what is written: another one would give old bytes another meaning.
    if "default" in old and old["default"] != new.get("default", ...):
        yield f"{path}: default was {old['default']!r}"
    if "enum" in new and "enum" not in old:
        yield f"{path} takes some values only now"
    for key in sorted((old.keys() | new.keys()) - _IGNORED):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _breaks(f"{path}.{key}", before, after)
        elif key == "prefixItems":
            yield from _breaks_of_array(path, old.get(key, []), new.get(key, []))
        elif before != after and not _is_wider(before, after):
            yield f"{path}: {key} was {before}, is {after}"


def _breaks_of_array(path: str, before: list[Schema], after: list[Schema]) -> Iterator[str]:
    """What is written as an array goes by place: only behind what there was may something stand."""
    if len(after) < len(before):
        yield f"{path} has {len(after)} places, had {len(before)}"
    for place, (old, new) in enumerate(zip(before, after, strict=False)):
        yield from _breaks(f"{path}[{place}]", old, new)


def _is_wider(before: Any, after: Any) -> bool:
    """Say whether a list of alternatives (`anyOf`) has all that it had."""
    return isinstance(before, list) and isinstance(after, list) and all(each in after for each in before)
