"""Errors that every part shares.

RunheraldError                   anything this package raises on purpose
├── InvalidInput                 the caller's value is wrong (exit status 2)
│   ├── InvalidEvent             an event that cannot be taken; names the field
│   └── SettingsError            a setting; names file (or variable) and key
├── RunFailed                    the answer is no: a run failed, a check does not hold (exit status 1)
└── Unreachable                  a server, Kafka or ClickHouse does not answer (exit status 3)

A message says what is wrong, names the field or file, the kind of the value, and what to do. It never holds a secret, and never
the whole of a value that a user sent.
"""

from __future__ import annotations


class RunheraldError(Exception):
    """Anything that this package raises on purpose."""

    exit_status = 1

    @property
    def message(self) -> str:
        """What is wrong: what scripts of azureml-core read."""
        return str(self)


class InvalidInput(RunheraldError):
    """The caller's value is wrong."""

    exit_status = 2


class InvalidEvent(InvalidInput):
    """An event that cannot be taken.

    Attributes:
        field: the field's path in the wire form, such as `data.status`.
        reason: what is wrong with it and what to do.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SettingsError(InvalidInput):
    """A setting that cannot be used; the message names the file or variable and the key."""


class RunFailed(RunheraldError):
    """The answer is no: a run failed, or a check does not hold."""


class Unreachable(RunheraldError):
    """A server, a broker or a database does not answer."""

    exit_status = 3
