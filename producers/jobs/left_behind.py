"""What a job's program logged and had no time to send, because it was killed: its runner sends it, before it says how the run ended."""

from __future__ import annotations

import logging

from runherald.errors import InvalidInput, RunheraldError
from runherald.producers.journal.folder import JournalFolder, journal_folders
from runherald.producers.session import Session
from runherald.producers.shipping.destination import destination_of, open_transport
from runherald.producers.shipping.send_queue import SendQueue
from runherald.producers.shipping.transport import Transport
from runherald.setting_checks import OFFLINE

_log = logging.getLogger("runherald.jobs")


def send_left_behind(session: Session, run_id: str) -> None:
    """Send the journals of a run whose processes are dead. What cannot be sent stays for the next run here, or `runherald sync`."""
    url, token, log, home = session.destination
    if url == OFFLINE or session.shipper.last_error is not None:
        return
    address = destination_of(url=url, log=log)
    left = [queue for folder in journal_folders(home) if (queue := _adopted(folder, run_id, address)) is not None]
    if not left:
        return
    transport = open_transport(url=url, token=token, log=log)
    try:
        for queue in left:
            _send(queue, transport)
    except (RunheraldError, OSError) as error:
        _log.info("journal_left run=%s reason=%r: `runherald sync` sends it", run_id, str(error))
    finally:
        for queue in left:
            queue.finish()
        transport.close()


def _adopted(folder: JournalFolder, run_id: str, address: str) -> SendQueue | None:
    try:
        head = folder.head()
        return SendQueue.adopt(folder) if (head.run_id, head.destination) == (run_id, address) else None
    except (BlockingIOError, InvalidInput, OSError):  # its owner lives, or has just sent it, or nobody can read it
        return None


def _send(queue: SendQueue, transport: Transport) -> None:
    while events := queue.pending():
        queue.acknowledge(list(transport.send(events).rejected))
