"""The pages: rendered here, made live by a script that fetches them again when a run changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from runherald import status_words
from runherald.api import CancelRequest, QueryAnswer, QueryRequest, RunView
from runherald.durations import short_duration
from runherald.errors import RunheraldError
from runherald.sinks.guard.views import USER_VIEWS
from runherald.sinks.queries import Family, RunFilter
from runherald.status import Status, may_follow
from runherald.studio import words
from runherald.studio.access import COOKIE, is_token, session_of
from runherald.studio.answers import Fault, json_answer
from runherald.studio.blocking import Blocking
from runherald.studio.charts import charts_of
from runherald.studio.errors import NotFound
from runherald.studio.headers import read_body
from runherald.studio.mails import MailFolder
from runherald.studio.parts import ServerParts
from runherald.studio.reads import Reads, run_filter
from runherald.studio.timeline import WIDTH, segments
from runherald.studio.user_queries import UserQueries
from runherald.studio.writes import Writes

PAGE_RUNS = 50
FIRST_CHILDREN = 6
CHART_CHILDREN = 12
LOG_TAIL = 60
PAGE_CELLS = 10_000
PAGE_CHILDREN = 200
PAGE_FILES = 200
PAGE_METRICS = 500
EXAMPLES = (
    "SELECT experiment, status, count() AS runs FROM runs GROUP BY experiment, status ORDER BY runs DESC",
    "SELECT r.display_name, r.status, max(m.value) AS best FROM metrics AS m JOIN runs AS r ON r.run_id = m.run_id\n"
    "WHERE m.name = 'accuracy' GROUP BY r.display_name, r.status ORDER BY best DESC",
    "SELECT TimeGenerated, RunId, Status, Message FROM AmlRunStatusChangedEvent ORDER BY TimeGenerated DESC LIMIT 20",
)


class ListedRun(Struct, frozen=True):
    """A run in the list. `family` are its children; `depth` is 1 for a child that stands below its parent."""

    run: RunView
    depth: int = 0
    family: Family | None = None


class Pages:
    """Answers with pages."""

    def __init__(self, parts: ServerParts, blocking: Blocking, reads: Reads, writes: Writes, queries: UserQueries) -> None:
        self._parts = parts
        self._reader = parts.reader
        self._blocking = blocking
        self._reads = reads
        self._writes = writes
        self._queries = queries
        self._mails = MailFolder(parts.mail_folder) if parts.mail_folder is not None else None
        self._environment = _environment()

    async def runs(self, request: Request) -> Response:
        """Show the list of runs."""
        return await self._blocking(self._runs, request)

    async def run(self, request: Request) -> Response:
        """Show a run."""
        run = await self._reads.run(request)
        return await self._blocking(self._run, run)

    async def charts(self, request: Request) -> Response:
        """Answer what the charts of a run's page draw: its own curves and those of its first children."""
        run = await self._reads.run(request)
        return json_answer(await self._blocking(self._charts, run))

    async def cancel(self, request: Request) -> Response:
        """Ask a run to stop, from its page."""
        run_id = request.path_params["run_id"]
        await self._writes.cancel(run_id, CancelRequest(reason="Cancelled on its page."))
        return RedirectResponse(f"/runs/{run_id}", 303)

    async def mails(self, _: Request) -> Response:
        """Show the mails that the catcher took."""
        mails = await self._blocking(self._mails.newest) if self._mails else None
        return self._page("mails.html", mails=mails)

    async def mail(self, request: Request) -> Response:
        """Show a mail, its body in a frame that may do nothing."""
        return self._page("mail.html", mail=await self._mail_of(request))

    async def mail_body(self, request: Request) -> Response:
        """Answer the body of a mail for that frame."""
        mail = await self._mail_of(request)
        body = mail.html or self._environment.get_template("mail_text.html").render(text=mail.text)
        policy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return HTMLResponse(body, headers={"Content-Security-Policy": f"{policy}; frame-ancestors 'self'"})

    async def query(self, request: Request) -> Response:
        """Show a query and its answer."""
        text = request.query_params.get("q", "")
        answer: QueryAnswer | None = None
        fault = ""
        if text.strip():
            try:
                answer = await self._queries.answer(QueryRequest(query=text))
            except RunheraldError as error:
                fault = str(error)
        return await self._blocking(self._query, text, answer, fault)

    async def sign_in(self, request: Request) -> Response:
        """Show the form for the token, or take it and give the browser a cookie that proves it."""
        target = request.query_params.get("next", "/")
        # Only a path of this server: `//elsewhere` and `/\elsewhere` would lead away.
        if not target.startswith("/") or target[1:2] in ("/", "\\"):
            target = "/"
        if request.method == "GET":
            return self._page("sign_in.html", target=target, wrong=False)
        shown = _form_value(await read_body(request, 16 * 1024), "token")
        if not self._parts.token or not is_token(shown, self._parts.token):
            return self._page("sign_in.html", target=target, wrong=True, status=401)
        answer = RedirectResponse(target, 303)
        secure = self._parts.public_url.startswith("https://")
        answer.set_cookie(COOKIE, session_of(self._parts.token), httponly=True, samesite="strict", secure=secure)
        return answer

    def render(self, template: str, **values: Any) -> Response:
        """Return a page of a template, for calls that have pages of their own."""
        return self._page(template, **values)

    def fault(self, fault: Fault) -> Response:
        """Return an error as a page."""
        return self._page("fault.html", fault=fault, status=fault.status, headers=fault.headers)

    def _runs(self, request: Request) -> Response:
        wanted = run_filter(request)
        # Children stand below their parents, unless one looks for runs of a kind wherever they are.
        tree = not wanted.statuses and not wanted.tag and not wanted.parent
        cursor = request.query_params.get("cursor", "")
        page = self._reader.runs(_roots(wanted) if tree else wanted, cursor=cursor, limit=PAGE_RUNS)
        families = self._reader.families([run.run_id for run in page.runs], FIRST_CHILDREN) if tree and page.runs else {}
        listed = [row for run in page.runs for row in _with_children(run, families.get(run.run_id))]
        asked = {name: value for name, value in request.query_params.items() if value and name != "cursor"}
        return self._page(
            "runs.html",
            listed=listed,
            counts=self._reader.status_counts(wanted.experiment),
            experiments=self._reader.experiments(),
            wanted=wanted,
            older=f"/?{urlencode({**asked, 'cursor': page.next})}" if page.next else "",
            newest=f"/?{urlencode(asked)}" if cursor else "",
            link=lambda **changed: _link(asked, changed),
            tree=tree,
        )

    def _run(self, run: RunView) -> Response:
        curves = self._reader.curves([run.run_id])
        children, all_children = self._children(run, PAGE_CHILDREN)
        files, all_files = self._reader.files(run.run_id, PAGE_FILES)
        transitions = self._reader.transitions(run.run_id)
        status = next((status for status in Status if status == run.status), None)
        return self._page(
            "run.html",
            run=run,
            parent=self._reader.run(run.parent_run_id) if run.parent_run_id else None,
            segments=segments(transitions, self._parts.clock()),
            refused=[step for step in transitions if not step.accepted],
            curves=curves[:PAGE_METRICS],
            all_curves=len(curves),
            children=children,
            all_children=all_children,
            files=files,
            all_files=all_files,
            notices=self._reader.notices(run.run_id, limit=100),
            lines=self._reader.logs(run.run_id, tail=LOG_TAIL),
            may_cancel=status is not None and may_follow(status, Status.CANCEL_REQUESTED),
            bar_width=WIDTH,
        )

    def _query(self, text: str, answer: QueryAnswer | None, fault: str) -> Response:
        rows = answer.rows[: max(1, PAGE_CELLS // max(1, len(answer.columns)))] if answer else []
        return self._page("query.html", text=text, answer=answer, rows=rows, fault=fault, views=USER_VIEWS, examples=EXAMPLES)

    def _charts(self, run: RunView) -> Any:
        children, _ = self._children(run, CHART_CHILDREN)
        return charts_of([run, *children], self._reader.curves([run.run_id, *(child.run_id for child in children)]))

    def _children(self, run: RunView, most: int) -> tuple[list[RunView], int]:
        """Return the first children of a run, and how many there are; nothing keeps a run from naming itself as its parent."""
        family = self._reader.families([run.run_id], most).get(run.run_id)
        if family is None:
            return [], 0
        return [child for child in family.first if child.run_id != run.run_id], sum(family.counts.values())

    async def _mail_of(self, request: Request) -> Any:
        name: str = request.path_params["name"]
        mail = await self._blocking(self._mails.read, name) if self._mails else None
        if mail is None:
            raise NotFound(f"mail {name[:80]}: there is none of that name")
        return mail

    def _page(self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
        values["has_mails"] = self._mails is not None
        return HTMLResponse(self._environment.get_template(template).render(values), status, headers)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("runherald.studio"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        status_kind=status_words.status_kind,
        status_name=status_words.status_name,
        cause=status_words.cause_in_words,
        reason=words.reason_in_short,
        evidence=words.evidence_in_words,
        duration=short_duration,
        moment=words.moment,
        iso=words.iso,
        number=words.number,
        bytes=words.size_in_bytes,
        first_line=words.first_line,
        run_name=words.run_name,
        short_id=words.short_id,
        has_ended=words.has_ended,
    )
    environment.tests["number_type"] = words.is_number_type
    environment.globals["version"] = version("runherald")
    return environment


def _roots(wanted: RunFilter) -> RunFilter:
    return RunFilter(experiment=wanted.experiment, root_only=True, life=wanted.life)


def _with_children(run: RunView, family: Family | None) -> Sequence[ListedRun]:
    return [ListedRun(run, 0, family), *(ListedRun(child, 1) for child in (family.first if family else ()))]


def _link(asked: Mapping[str, str], changed: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in {**asked, **changed}.items() if value})
    return f"/?{query}" if query else "/"


def _form_value(body: bytes, name: str) -> str:
    return parse_qs(body.decode(errors="replace")).get(name, [""])[0]
