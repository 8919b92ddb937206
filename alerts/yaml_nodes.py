"""Values of a YAML document that know their line, so that an error can name it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml

from runherald.alerts.errors import InvalidRule
from runherald.durations import parse_duration

E = TypeVar("E", bound=Enum)
T = TypeVar("T")

_LONGEST_SHOWN = 60
_KINDS = {
    "map": "a mapping",
    "seq": "a list",
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "null": "empty",
}


class Node:
    """A node of a document. Each reading method raises `InvalidRule` with file, line and key when the node is something else.

    Attributes:
        key: that leads to it.
        key_line: the line where that key stands, counted from 1.
    """

    def __init__(self, path: Path, node: yaml.Node, key: str = "", key_line: int = 0) -> None:
        self._path = path
        self._node = node
        self.key = key
        self.key_line = key_line

    @property
    def line(self) -> int:
        """Where it begins, counted from 1."""
        return int(self._node.start_mark.line) + 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written there."""
        return self._kind == "null"

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    def fail(self, reason: str) -> NoReturn:
        """Raise `InvalidRule` about this node."""
        raise InvalidRule(self._path, self.line, f"{_shown(self.key)}: {reason}" if self.key else reason)

    def mapping(self) -> dict[str, Node]:
        """Return the values by key, each of which stands there once."""
        if not isinstance(self._node, yaml.MappingNode):
            self._expected("a mapping")
        found: dict[str, Node] = {}
        for key_node, value_node in self._node.value:
            name = Node(self._path, key_node, self.key).text()
            if name in found:
                Node(self._path, key_node, name).fail(f"stands here twice, first in line {found[name].line}")
            found[name] = Node(self._path, value_node, name, int(key_node.start_mark.line) + 1)
        return found

    def known(self, keys: Collection[str]) -> dict[str, Node]:
        """Return the values by key; any other key is refused with those that there are."""
        found = self.mapping()
        for name, node in found.items():
            if name not in keys:
                shown = _shown(name)
                near = difflib.get_close_matches(name, keys, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise InvalidRule(self._path, node.key_line, f"there is no key {shown!r}; {hint}the keys are {', '.join(sorted(keys))}")
        return found

    def items(self) -> Iterator[Node]:
        """Yield the items of a list; a value that is no list is a list of one."""
        if isinstance(self._node, yaml.SequenceNode):
            for item in self._node.value:
                yield Node(self._path, item, self.key)
        else:
            yield self

    def text(self) -> str:
        """Return a text. A number or boolean stands for the text that is written."""
        if not isinstance(self._node, yaml.ScalarNode) or self.is_empty:
            self._expected("a text")
        text = str(self._node.value)
        if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            self.fail("holds half a surrogate pair, which is no character; take it out")
        return text

    def texts(self) -> tuple[str, ...]:
        """Return one text or a list of them, as long as there is one."""
        found = tuple(item.text() for item in self.items())
        return found or self._expected("a text or a list of texts")

    def flag(self) -> bool:
        """Return true or false."""
        if self._kind != "bool":
            self._expected("true or false")
        return self.text().lower() in ("true", "yes", "on")

    def duration(self) -> timedelta:
        """Return a duration such as 90s, 10m, 1h30m, 2d."""
        duration = parse_duration(self.text())
        return duration if duration is not None else self._expected("a length of time such as 90s, 10m, 1h30m or 2d")

    def member(self, kind: type[E]) -> E:
        """Return the member of an enumeration of texts; small and capital letters are the same."""
        return self.choice({str(member.value): member for member in kind})

    def choice(self, choices: dict[str, T]) -> T:
        """Return what a word stands for; small and capital letters are the same."""
        word = self.text()
        spelled = {name.lower(): value for name, value in choices.items()}
        if word.lower() in spelled:
            return spelled[word.lower()]
        near = difflib.get_close_matches(word.lower(), list(spelled), n=1, cutoff=0.6)
        hint = f"did you mean {next(name for name in choices if name.lower() == near[0])!r}? " if near else ""
        return self.fail(f"{word[:40]!r} is none; {hint}there are {', '.join(choices)}")

    def each(self, read: Callable[[Node], T]) -> tuple[T, ...]:
        """Return what a function reads from one value or each of a list, as long as there is one."""
        found = tuple(read(item) for item in self.items())
        return found or self._expected("a value or a list of values")

    @property
    def _kind(self) -> str:
        return str(self._node.tag).rpartition(":")[2]

    def _expected(self, what: str) -> NoReturn:
        self.fail(f"is {_KINDS.get(self._kind) or _shown(self._kind)}; write {what}")


def read_document(path: Path) -> Node | None:
    """Return the document in a YAML file, or None when it is empty.

    Raises:
        InvalidRule: the file cannot be read, or is not one YAML document.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise InvalidRule(path, 0, f"cannot be read ({error.strerror}); name a file of rules") from None
    except UnicodeDecodeError:
        raise InvalidRule(path, 0, "is not UTF-8; write the file as text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InvalidRule(path, line, f"is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError):  # the last two for escapes such as "\UFFFFFFFF"
        raise InvalidRule(path, 0, "is not YAML: it holds characters that YAML does not take") from None
    except RecursionError:
        raise InvalidRule(path, 0, "is nested too deep to be rules") from None
    return None if node is None else Node(path, node)


def _shown(word: str) -> str:
    """Return the beginning of a word of the file: a message is no copy of it."""
    return word if len(word) <= _LONGEST_SHOWN else f"{word[:_LONGEST_SHOWN]}…"
