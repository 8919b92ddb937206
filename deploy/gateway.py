"""A loopback gateway that speaks ClickHouse's HTTP interface over chDB, so that several processes share one history. For trials only.

    python -m runherald.deploy.gateway --data DIR --port N

It knows what clickhouse-connect sends: queries and inserts with the statement in the body or in `query`, settings and parameters in the
query string, errors with their code. It has no users, no sessions, no compression. For drills it can be told to fail:

    POST /_faults {"lose_reply_after_insert": 1, "answer_500": 3, "delay_seconds": 0.5, "delayed": 10}

Each count is for so many requests; `/_faults` answers with what is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import chdb
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+.*?\bFORMAT\s+(\w+)\s*?(\n|$)", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What the HTTP interface uses itself, or what an engine in the process does not have.
_NOT_SETTINGS = frozenset(
    {
        "query",
        "database",
        "default_format",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "role",
        "user",
        "password",
        "client_protocol_version",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "enable_http_compression",
    }
)
_STATUS = {60: 404, 81: 404, 516: 401, 497: 403, 241: 500, 159: 408}


class Faults(Struct):
    """What goes wrong, for how many requests still."""

    lose_reply_after_insert: int = 0
    answer_500: int = 0
    delayed: int = 0
    delay_seconds: float = 0.0


class Statement(Struct, frozen=True):
    """A request as the engine is to run it. `data` is the body of an insert."""

    sql: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    database: str
    output_format: str
    data: bytes | None = None


class Gateway:
    """The engine of one folder behind HTTP."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._address = str(folder)
        # Held open for the gateway's life: opening the engine costs a second, another handle a millisecond.
        self._engine = chdb.connect(self._address)
        self._faults = Faults()
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """Return the HTTP application."""
        return Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/_faults", self._tell_faults, methods=["GET", "POST"]),
                Route("/", self._answer, methods=["GET", "POST"]),
            ]
        )

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    async def _ping(self, _request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def _tell_faults(self, request: Request) -> Response:
        if request.method == "POST":
            with self._lock:
                for name, value in (await request.json()).items():
                    setattr(self._faults, name, value)
        with self._lock:
            return PlainTextResponse(json.dumps({name: getattr(self._faults, name) for name in Faults.__struct_fields__}))

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        if self._take("delayed"):
            await asyncio.sleep(self._faults.delay_seconds)
        if self._take("answer_500"):
            return _error(500, "Code: 999. DB::Exception: told to fail. (KEEPER_EXCEPTION)")
        if body and request.headers.get("content-encoding"):
            return _error(400, "Code: 1. DB::Exception: this trial gateway takes no compressed requests: connect with compress=False")
        fields = dict(request.query_params)
        kind = request.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            # What is too long for an address comes as a form.
            fields, body = {**fields, **parse_form(kind, body)}, b""
        statement = parse_request(fields, body)
        if not statement.sql.strip():
            return PlainTextResponse("Ok.\n")
        try:
            content = await asyncio.to_thread(self._run, statement)
        except RuntimeError as error:
            return _error(None, str(error))
        if statement.data is not None and self._take("lose_reply_after_insert"):
            return _LostReply()
        headers = {"X-ClickHouse-Format": statement.output_format, "X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"}
        return Response(content, headers=headers, media_type="text/plain")

    def _take(self, fault: str) -> bool:
        with self._lock:
            left = getattr(self._faults, fault)
            if left > 0:
                setattr(self._faults, fault, left - 1)
            return bool(left > 0)

    def _run(self, statement: Statement) -> bytes:
        """Run a statement on a handle of its own: its settings and database are nobody else's."""
        handle = chdb.connect(self._address)
        try:
            if statement.database:
                handle.query(f"USE {_identifier(statement.database)}")
            readonly = statement.settings.get("readonly")
            for name, value in statement.settings.items():
                if name != "readonly":
                    handle.query(f"SET {name} = {_text(value)}")
            if readonly is not None:  # the last: nothing can be set after it
                handle.query(f"SET readonly = {_text(readonly)}")
            if statement.data is None:
                return bytes(handle.query(statement.sql, statement.output_format, params=dict(statement.parameters)).bytes())
            with tempfile.NamedTemporaryFile(suffix=".insert") as file:
                file.write(statement.data)
                file.flush()
                source = f" FROM INFILE {_text(file.name)} FORMAT {statement.output_format}"
                handle.query(re.sub(r"\s+FORMAT\s+\w+\s*$", lambda _: source, statement.sql), params=dict(statement.parameters))
            return b""
        finally:
            handle.close()


class _LostReply(Response):
    """Promises a body that never comes: the client sees the connection break."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000"), (b"connection", b"close")]})


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a multipart form."""
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=default)
    fields = {}
    for part in form.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        fields[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return fields


def parse_request(query: Mapping[str, str], body: bytes) -> Statement:
    """Return what a request asks for: the statement stands in `query`, in the body, or begins in the one and goes on in the other."""
    head = query.get("query", "").encode()
    whole = head + b"\n" + body if head else body
    settings = {
        name: value
        for name, value in query.items()
        if _NAME.fullmatch(name) and name not in _NOT_SETTINGS and not name.startswith("param_")
    }
    parameters = {name.removeprefix("param_"): value for name, value in query.items() if name.startswith("param_")}
    database = query.get("database", "")
    insert = _INSERT.match(whole)
    if insert and b"SELECT" not in insert.group().upper().split(b"FORMAT")[0].split(b")")[-1]:
        sql = insert.group().decode().strip()
        return Statement(sql, settings, parameters, database, insert.group(1).decode(), whole[insert.end() :])
    sql = whole.decode()
    named = _FORMAT.search(sql)
    chosen = named.group(1) if named else query.get("default_format", "TabSeparated")
    return Statement(sql[: named.start()] if named else sql, settings, parameters, database, chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    gateway = Gateway(options.data.resolve())
    config = uvicorn.Config(gateway.app(), host="127.0.0.1", port=options.port, log_level="warning", timeout_keep_alive=60)
    # uvicorn raises the signal that ended it once more when it is done, which must not end the process: the engine is still open.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        uvicorn.Server(config).run()
    finally:
        gateway.close()
    return 0


def _error(status: int | None, text: str) -> Response:
    found = _CODE.search(text)
    code = int(found.group(1)) if found else 1
    message = text[text.find("Code: ") :] if found else text
    headers = {"X-ClickHouse-Exception-Code": str(code)}
    return PlainTextResponse(
        message + "\n", status_code=status or _STATUS.get(code, 400 if code in (62, 36, 47, 46) else 500), headers=headers
    )


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(main())
