"""Errors of the log and the runners.

RunheraldError
├── InvalidInput
│   ├── FolderHeld               another server holds the data folder
│   ├── GroupTaken               the embedded log has one consumer for each group
│   ├── ProcessorsRun            workers run whose tables are to be exchanged
│   ├── RecordTooLarge           a record above the topic's bound
│   ├── TopicsDiffer             a topic exists with another number of partitions
│   └── UnknownTopic             no such topic in this log
├── Unreachable                  Kafka does not answer
├── LogClosed                    the log was closed while it was used
├── LogMoved                     the log dropped records while they were to be read
├── LogFull                      the disk is full; nothing of the append was kept
├── LogUnusable                  the file of the log cannot be written or read
├── CommitRefused                the group has rebalanced: somebody else has the partition, and what was not committed comes again there
├── OutOfOrder                   records are missing before one that was delivered
├── TooManyDeadLetters           the code, not the data, seems broken: the processor stops
└── WorkerStuck                  a worker takes nothing though the log has more
"""

from __future__ import annotations

from runherald.errors import InvalidInput, RunheraldError


class FolderHeld(InvalidInput):
    """Another server holds the data folder; the message names the folder and the holder's process."""


class GroupTaken(InvalidInput):
    """The group has a consumer already: the embedded log has one for each group."""


class ProcessorsRun(InvalidInput):
    """Workers run whose tables are to be exchanged; the message names the processors."""


class RecordTooLarge(InvalidInput):
    """A record is above its topic's bound; the message names topic, size and bound."""


class TopicsDiffer(InvalidInput):
    """A topic exists with another number of partitions, which cannot be changed: keys would move to other partitions."""


class UnknownTopic(InvalidInput):
    """The log has no such topic."""


class LogClosed(RunheraldError):
    """The log was closed while it was used."""


class LogFull(RunheraldError):
    """The disk is full. Nothing of the append was kept; it can be tried again."""


class LogMoved(RunheraldError):
    """The log dropped records, by its retention, while they were to be read."""


class LogUnusable(RunheraldError):
    """The file of the log cannot be written or read."""


class CommitRefused(RunheraldError):
    """The group has rebalanced since the records were read; whatever was not committed is delivered again, to whoever has the partition."""


class OutOfOrder(RunheraldError):
    """Records are missing before one that was delivered."""


class TooManyDeadLetters(RunheraldError):
    """So many records could not be taken that the code, not the data, seems broken."""


class WorkerStuck(RunheraldError):
    """A worker takes nothing though the log has more."""
