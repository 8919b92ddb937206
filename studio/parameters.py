"""Parameters of calls: each is read from a request by what also describes it to callers (`runherald.studio.openapi`)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.requests import Request

from runherald.errors import InvalidInput

MOMENT = "date-time"
"""The format of a time."""


class Text(Struct, frozen=True):
    """Any text; empty when it is not said. `form` is the format that JSON schema has for it, if any."""

    name: str
    about: str
    form: str = ""

    def of(self, request: Request) -> str:
        """Return what a request says."""
        return request.query_params.get(self.name, "")

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as a JSON schema."""
        return {"type": "string", "format": self.form} if self.form else {"type": "string"}


class Choice(Struct, frozen=True):
    """One of some words; the first of them when it is not said."""

    name: str
    about: str
    choices: tuple[str, ...]

    def of(self, request: Request) -> str:
        """Return what a request says, or raise InvalidInput."""
        value = request.query_params.get(self.name, self.choices[0])
        if value not in self.choices:
            raise InvalidInput(f"{self.name}: is none of {', '.join(self.choices)}")
        return value

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as a JSON schema."""
        return {"type": "string", "enum": list(self.choices), "default": self.choices[0]}


class Choices(Struct, frozen=True):
    """Any of some words, with commas between them or the parameter repeated. Whether they are known is for others to say."""

    name: str
    about: str
    choices: tuple[str, ...]

    def of(self, request: Request) -> tuple[str, ...]:
        """Return what a request says."""
        values = request.query_params.getlist(self.name)
        return tuple(word.strip() for value in values for word in value.split(",") if word.strip())

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as a JSON schema."""
        return {"type": "array", "items": {"type": "string", "enum": list(self.choices)}}


class Flag(Struct, frozen=True):
    """True or false; false when it is not said."""

    name: str
    about: str

    def of(self, request: Request) -> bool:
        """Return what a request says, or raise InvalidInput."""
        value = request.query_params.get(self.name, "").lower()
        if value not in ("", "true", "false", "1", "0"):
            raise InvalidInput(f"{self.name}: neither true nor false")
        return value in ("true", "1")

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as a JSON schema."""
        return {"type": "boolean", "default": False}


class Number(Struct, frozen=True):
    """A whole number; the default when it is not said."""

    name: str
    about: str
    least: int
    most: int
    default: int

    def of(self, request: Request) -> int:
        """Return what a request says, or raise InvalidInput."""
        value = request.query_params.get(self.name, "")
        if not value:
            return self.default
        if not value.isdecimal() or len(value) > len(str(self.most)) or not self.least <= int(value) <= self.most:
            raise InvalidInput(f"{self.name}: is not a whole number from {self.least} to {self.most}")
        return int(value)

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as a JSON schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}


Parameter = Text | Choice | Choices | Flag | Number
