"""What belongs to the process that made it: what sends for that process is in it."""

from __future__ import annotations

from typing import NoReturn, Self

from runherald.producers.errors import Unsupported


class OfOneProcess:
    """A copy of it is itself, and it cannot be sent to another process.

    Attributes:
        _elsewhere: what to do instead, for the error.
    """

    _elsewhere = ""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise Unsupported(f"a {type(self).__name__} cannot be sent to another process; {self._elsewhere}")
