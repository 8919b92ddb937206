"""Errors of the sinks, and what to do about an error of the database.

RunheraldError
├── InvalidInput
│   ├── LogReplaced              the log ends before what history holds of it (exit status 2)
│   ├── SchemaMismatch           a schema that this version cannot work on (`runherald.sinks.migrate`)
│   ├── SettingsError            an address or a folder that cannot be used
│   └── QueryRefused             a user's query that may not run; says what is allowed (exit status 2, HTTP 400)
├── Unreachable                  the database does not answer, or another process holds its folder (exit status 3)
└── QueryFailed                  a checked query that the engine would not finish: a wrong name or type, or a limit

An exception that an insert raises is one of three kinds:

retriable   the database is away, busy, full or read-only: the same insert can succeed later
data        a value in the batch cannot be stored: the others can, so look for the row
unknown     anything else, most likely a fault of ours: stop before it does harm
"""

from __future__ import annotations

import re
import struct
from typing import Literal

from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError
from urllib3.exceptions import HTTPError

from runherald.errors import InvalidInput, RunheraldError

Kind = Literal["retriable", "data", "unknown"]


class LogReplaced(InvalidInput):
    """The log ends before what history holds of it: it was emptied or replaced. The message names partition and offsets."""


class QueryRefused(InvalidInput):
    """A user's query that may not run; the message says what is wrong and what is allowed."""


class QueryFailed(RunheraldError):
    """A query that was allowed, and that the engine did not finish.

    Attributes:
        code: ClickHouse's error code, or None.
    """

    exit_status = 2

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


# The list of ClickHouse's own Kafka connector (Utils.java), and below it what we met or what the server says of itself.
RETRIABLE_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        107,  # FILE_DOESNT_EXIST
        159,  # TIMEOUT_EXCEEDED
        164,  # READONLY
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        252,  # TOO_MANY_PARTS
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        425,  # SYSTEM_ERROR
        999,  # KEEPER_EXCEPTION
        198,  # DNS_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED, the server shuts down
        243,  # NOT_ENOUGH_SPACE
        254,  # NO_ACTIVE_REPLICAS
        279,  # ALL_CONNECTION_TRIES_FAILED
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        745,  # SERVER_OVERLOADED
    }
)

DATA_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        407,  # DECIMAL_OVERFLOW
        441,  # CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)

# A proxy's or a stopping server's answer carries a status and no ClickHouse code.
_HTTP_STATUS = re.compile(r"HTTP status (429|5\d\d)")
_AWAY = (OperationalError, HTTPError, ConnectionError, TimeoutError)
# Raised while the client encodes a value that its column's type cannot hold.
_UNENCODABLE = (DataError, UnicodeError, OverflowError, struct.error)


def classify(exception: BaseException) -> Kind:
    """Return whether an insert that raised this is worth repeating, has a bad row, or neither."""
    code = exception.code if isinstance(exception, DatabaseError) else None
    if code is not None and code in RETRIABLE_CODES:
        return "retriable"
    if code is not None and code in DATA_CODES:
        return "data"
    if isinstance(exception, _UNENCODABLE):
        return "data"
    if code is None and (isinstance(exception, _AWAY) or _HTTP_STATUS.search(str(exception))):
        return "retriable"
    return "unknown"


_CODE = re.compile(r"Code: (\d+)")
_PREFIX = re.compile(r"^.*?Code: \d+\. DB::Exception: (?:Received from [^ ]+ DB::Exception: )?", re.DOTALL)
# The engine repeats the query, and its own inner names, behind these.
_EXPECTED = re.compile(r"\. Expected one of: .*$", re.DOTALL)  # dozens of words
_TAIL = re.compile(r":? ?(?:\bIn scope\b|\bwhile executing\b|While executing|: While processing|\. Stack trace|\(version ).*$", re.DOTALL)
_MAX_MESSAGE = 600


def engine_error_code(message: str) -> int | None:
    """Return ClickHouse's error code in a message, or None."""
    found = _CODE.search(message)
    return int(found[1]) if found else None


def describe_engine_error(message: str) -> str:
    """Return what the engine says about a query, without what it repeats of the query and of itself."""
    text = _EXPECTED.sub("", _TAIL.sub("", _PREFIX.sub("", message, count=1))).strip()
    return text[:_MAX_MESSAGE]
