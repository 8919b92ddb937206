"""Where events go: the server at a URL, or straight to Kafka."""

from __future__ import annotations

from runherald.errors import InvalidInput
from runherald.producers.shipping.transport import Transport
from runherald.setting_checks import OFFLINE


def open_transport(*, url: str, token: str = "", log: str = "") -> Transport:
    """Return the transport to a log (`kafka://host:port,host:port`), or else to the server at a URL. Nothing is connected yet.

    Raises:
        InvalidInput: an address is malformed, or the URL is `offline`.
    """
    if url == OFFLINE:
        raise InvalidInput("url: is 'offline', and what is sent needs a server; name one with --url, or set RUNHERALD_URL")
    if log.startswith("kafka://"):
        from runherald.producers.server.client import ApiClient
        from runherald.producers.shipping.cancel_watch import CancelWatch
        from runherald.producers.shipping.kafka_transport import KafkaTransport

        return CancelWatch(KafkaTransport(log), ApiClient(url, token, timeout_seconds=5.0))
    from runherald.producers.shipping.http_transport import HttpTransport

    return HttpTransport(url, token)


def destination_of(*, url: str, log: str = "") -> str:
    """Return what a journal says of where it is to be sent: the address without credentials, or `offline` for wherever it is sent first."""
    if url == OFFLINE:
        return OFFLINE
    address = log if log.startswith("kafka://") else url
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")
