"""Errors of the server.

InvalidInput
├── NotFound            there is no such run, page or mail (404)
├── Unauthorized        no token, or another one (401)
├── Foreign             another site's page sends the request (403)
├── TooLarge            the body is above the bound (413)
└── TooSlow             the body does not come (408)
Unreachable
├── NotYet              history has not passed the caller's position in time (503)
└── Busy                too many ask for the same at once (503)
"""

from __future__ import annotations

from runherald.errors import InvalidInput, Unreachable


class NotFound(InvalidInput):
    """There is no such thing."""


class Unauthorized(InvalidInput):
    """The request shows no token, or another one."""


class Foreign(InvalidInput):
    """A page of another site sends the request."""


class TooLarge(InvalidInput):
    """The body is above the bound."""


class TooSlow(InvalidInput):
    """The body does not come."""


class NotYet(Unreachable):
    """History has not passed the caller's position in time."""


class Busy(Unreachable):
    """Too many ask for the same at once."""
