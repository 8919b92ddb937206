"""What the operator is told about the pipeline's lag, as a mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from uuid import uuid5

from msgspec import Struct

from runherald.alerts.addresses import bare_address, domain_of, to_ascii
from runherald.alerts.lag_incident import Incident, Symptom, Telling
from runherald.alerts.mail_view import Fact, Tone, say_time
from runherald.alerts.message import POLICY, templates
from runherald.alerts.subject import one_line
from runherald.durations import duration_in_words
from runherald.events import NAMESPACE


class LagView(Struct, frozen=True, kw_only=True):
    """Everything that the templates need. Texts are plain; the template escapes them."""

    subject: str
    headline: str
    tone: Tone
    status: str
    experiment: str
    why: str
    explanation: str
    facts: tuple[Fact, ...]
    link: str
    delay: str
    times: tuple[Fact, ...]
    limit: str


class LagComposer:
    """Writes the mails. `limit` is the one of the watch, in seconds.

    Attributes:
        envelope_sender: the bare address that they come from.
    """

    def __init__(self, sender: str, *, public_url: str, limit: float) -> None:
        self.envelope_sender = to_ascii(bare_address(sender))
        self._name = one_line(parseaddr(sender)[0]) or "runherald"
        self._domain = domain_of(sender)
        self._link = f"{public_url.rstrip('/')}/status" if public_url else ""
        self._limit = limit
        self._text, self._html = templates()

    def compose(self, telling: Telling, recipient: str) -> bytes:
        """Return the mail as bytes for the wire, the same at every attempt."""
        incident = telling.incident
        view = _view(telling, link=self._link, limit=self._limit)
        mail = EmailMessage(policy=POLICY)
        mail["From"] = Address(self._name, addr_spec=self.envelope_sender)
        mail["To"] = Address(addr_spec=to_ascii(recipient))
        mail["Subject"] = view.subject
        mail["Date"] = format_datetime((incident.ended or incident.began).astimezone(UTC))
        mail["Message-ID"] = self._id(f"lag/{incident.incident_id}/{telling.kind}/{recipient}")
        thread = self._id(f"lag/{incident.incident_id}")
        mail["In-Reply-To"] = thread
        mail["References"] = thread
        mail["Auto-Submitted"] = "auto-generated"
        mail["List-Id"] = f"<watch.runherald.{self._domain}>"
        mail["X-Runherald-Incident"] = f"{telling.kind} {incident.incident_id}"
        mail.set_content(self._text.get_template("lag.txt.j2").render(mail=view))
        mail.add_alternative(self._html.get_template("lag.html.j2").render(mail=view), subtype="html")
        return mail.as_bytes()

    def _id(self, name: str) -> str:
        return f"<{uuid5(NAMESPACE, name)}@{self._domain}>"


def _view(telling: Telling, *, link: str, limit: float) -> LagView:
    incident = telling.incident
    over = telling.kind == "over"
    first = max(incident.worst, key=lambda symptom: symptom.seconds)
    headline = f"The pipeline is up to date again after {_lasted(incident)}" if over else _headline(first)
    times = [Fact("Found", say_time(incident.began))]
    if incident.ended is not None:
        times.append(Fact("Over", say_time(incident.ended)))
    return LagView(
        subject=one_line(f"[runherald] {headline}"),
        headline=headline,
        tone="good" if over else "bad",
        status="Up to date" if over else "Lagging",
        experiment="",
        why="" if over else first.detail,
        explanation=(
            "What waited is processed, and notices that waited are on their way."
            if over
            else "Runs go on and nothing that was sent is lost: it waits. Pages and mails about runs are late until this is over."
        ),
        facts=tuple(Fact(symptom.part, _behind(symptom)) for symptom in incident.worst),
        link=link,
        delay="",
        times=tuple(times),
        limit=f"{limit:g}",
    )


def _headline(symptom: Symptom) -> str:
    length = _length(symptom.seconds)
    match symptom.part:
        case "log":
            return f"The log has not answered for {length}"
        case "database":
            return f"The database of history has not answered for {length}"
        case part:
            return f"The processor {part} is {length} behind"


def _behind(symptom: Symptom) -> str:
    word = "away for" if symptom.part in ("log", "database") else "behind by"
    return f"{word} {_length(symptom.seconds)}" + (f": {symptom.detail}" if symptom.detail else "")


def _length(seconds: float) -> str:
    return duration_in_words(timedelta(seconds=seconds))


def _lasted(incident: Incident) -> str:
    ended: datetime = incident.ended or incident.began
    return duration_in_words(ended - incident.began)
