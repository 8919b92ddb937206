"""Errors of alerts.

RunheraldError
└── InvalidInput
    ├── InvalidRule              a rule file that cannot be used; names file, line and key
    └── SettingsError            the address of the SMTP server; never shows the password
"""

from __future__ import annotations

from pathlib import Path

from runherald.errors import InvalidInput


class InvalidRule(InvalidInput):
    """A rule file that cannot be used.

    Attributes:
        path: the file.
        line: counted from 1; 0 when it is about the file as a whole.
        reason: what is wrong and what to do.
    """

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason
