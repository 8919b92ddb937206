"""What users pass to a run: checked, and as plain types. `what` begins each error: it names the run, and the metric if there is one."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping

from runherald.errors import InvalidEvent, InvalidInput
from runherald.producers.allowed import allowed
from runherald.validation import check_metric_name, check_params, check_properties, check_run_id, check_tags

_MAX_STEP = 2**63 - 1


def run_id(given: object) -> str:
    """Return a run's id.

    Raises:
        InvalidInput: it can be no run's.
    """
    plain = _plain("run_id:", given)
    try:
        check_run_id("run_id", plain)
    except InvalidEvent as error:
        raise InvalidInput(str(error)) from None
    return plain


def metric_name(what: str, name: object) -> str:
    """Return a metric's name.

    Raises:
        InvalidInput: it is no text, empty, too long, or holds what no name may.
    """
    plain = _plain(f"{what}: a metric's name", name)
    _checked(what, lambda: check_metric_name("name", plain, allowed()))
    return plain


def display_name(what: str, name: object) -> str:
    """Return a display name; raises what `metric_name` does, but may be empty."""
    plain = _plain(f"{what}: display_name", name)
    _refuse_control(f"{what}: display_name", plain)
    return bounded(f"{what}: display_name", plain, allowed().display_name)


def description(what: str, text: object) -> str:
    """Return a description; None is an empty one.

    Raises:
        InvalidInput: it is no text, too long, or cannot be written in UTF-8.
    """
    if text is None:
        return ""
    return bounded(f"{what}: description", _plain(f"{what}: description", text), allowed().description)


def step(what: str, number: object) -> int:
    """Return a step: a whole number of 64 bits, of whatever type.

    Raises:
        InvalidInput: it is none.
    """
    whole = int(number) if isinstance(number, float) and number.is_integer() else number
    try:
        plain = operator.index(whole)  # type: ignore[arg-type]  # what is no whole number raises
    except TypeError:
        raise InvalidInput(f"{what}: step is a {type(number).__name__}; pass a whole number") from None
    if not -_MAX_STEP <= plain < _MAX_STEP:
        raise InvalidInput(f"{what}: step does not fit into 64 bits; pass a smaller one")
    return plain


def tags(what: str, given: object) -> dict[str, str | None]:
    """Return tags: values become texts, None stays a tag without a value.

    Raises:
        InvalidInput: they are no dictionary, or too many, or a key or value cannot be taken.
    """
    pairs = _pairs(what, "tags", given)
    texts = {tag_key(what, key): None if value is None else _text(f"{what}: tag {key!r}", value) for key, value in pairs}
    _checked(what, lambda: check_tags("tags", texts, allowed()))
    return texts


def properties(what: str, given: object) -> dict[str, str]:
    """Return properties: values become texts. Raises what `tags` does."""
    pairs = _pairs(what, "properties", given)
    texts = {_key(what, "property", key): _text(f"{what}: property {key!r}", value) for key, value in pairs}
    _checked(what, lambda: check_properties("properties", texts, allowed()))
    return texts


def params(what: str, given: object) -> dict[str, str]:
    """Return parameters: values become texts. Raises what `tags` does."""
    pairs = _pairs(what, "params", given)
    texts = {_key(what, "param", key): _text(f"{what}: param {key!r}", value) for key, value in pairs}
    _checked(what, lambda: check_params("params", texts, allowed()))
    return texts


def tag_key(what: str, key: object) -> str:
    """Return a tag's key.

    Raises:
        InvalidInput: it is no text.
    """
    return _key(what, "tag", key)


def tag_keys(what: str, given: object) -> tuple[str, ...]:
    """Return the keys of tags: one text, or several.

    Raises:
        InvalidInput: they are something else, or a key cannot be taken.
    """
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise InvalidInput(f"{what}: the tags to remove are a {type(given).__name__}; pass a key or a list of keys")
    keys = tuple(tag_key(what, key) for key in given)
    _checked(what, lambda: check_tags("tags", dict.fromkeys(keys), allowed()))
    return keys


def file_name(what: str, name: object) -> str:
    """Return the name of a file that lines are of.

    Raises:
        InvalidInput: it is no text, empty, or too long, or holds a control character.
    """
    plain = _plain(f"{what}: the name of a file of lines", name)
    if not plain:
        raise InvalidInput(f"{what}: the name of a file of lines is empty; pass one such as 'logs/training.log'")
    _refuse_control(f"{what}: the name of a file of lines", plain)
    return bounded(f"{what}: the name of a file of lines", plain, allowed().path)


def bounded(what: str, text: str, length: int) -> str:
    """Return a text.

    Raises:
        InvalidInput: it is too long, or cannot be written in UTF-8.
    """
    if len(text) > length:
        raise InvalidInput(f"{what} is a text of {len(text)} characters; at most {length} are kept: shorten it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            place = f"half a surrogate pair at position {error.start}"
            raise InvalidInput(f"{what} is a text with {place}; decode it with errors='replace'") from None
    return text


def _refuse_control(what: str, text: str) -> None:
    if not text.isprintable() and (found := re.search(r"[\x00-\x1f\x7f]", text)):
        raise InvalidInput(f"{what} holds a control character at position {found.start()}; take it out")


def _pairs(what: str, kind: str, given: object) -> list[tuple[object, object]]:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{what}: {kind} are a {type(given).__name__}; pass a dictionary")
    return list(given.items())


def _key(what: str, kind: str, key: object) -> str:
    return _plain(f"{what}: a {kind}'s key", key)


def _plain(what: str, text: object) -> str:
    """Return a text as a plain one: no enum, and no other class of its own, which the encoder does not take."""
    if not isinstance(text, str):
        raise InvalidInput(f"{what} is a {type(text).__name__}; pass a text")
    return str.__str__(text)


def _text(what: str, value: object) -> str:
    try:
        return str.__str__(str(value))
    except Exception as error:  # the user's own code, of which the message is to name the place
        raise InvalidInput(f"{what}: a {type(value).__name__} whose str() raises {type(error).__name__}; pass a text") from error


def _checked(what: str, check: Callable[[], None]) -> None:
    try:
        check()
    except InvalidEvent as error:
        raise InvalidInput(f"{what}: {error}") from None
