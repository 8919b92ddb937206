-- Dead letters and what was done about them: a copy of what the topic says, to look into.

-- statement
-- A letter that was published twice is one; its first copy stays.
CREATE TABLE IF NOT EXISTS $database.dead_letters $on_cluster
(
    letter_id String,
    processor LowCardinality(String),
    error LowCardinality(String) COMMENT 'the kind of the reason: field or table',
    reason String CODEC(ZSTD(1)),
    topic LowCardinality(String) COMMENT 'where the record stands',
    partition UInt32,
    offset UInt64,
    timestamp Int64 COMMENT 'when the record was appended, in milliseconds since 1970',
    has_key Bool,
    key String CODEC(ZSTD(1)),
    value String CODEC(ZSTD(3)) COMMENT 'the bytes as they were',
    header_names Array(String) CODEC(ZSTD(1)),
    header_values Array(String) CODEC(ZSTD(1)) COMMENT 'in hex',
    event_type LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    first_id String COMMENT 'the first letter of this event',
    previous_id String COMMENT 'the letter whose replay failed again',
    replays UInt32 COMMENT 'how often the event had been replayed before',
    dead_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _precedence UInt64 MATERIALIZED 18446744073709551615 - _offset,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(_precedence)
ORDER BY letter_id
SETTINGS $dedup_window = 10000

-- statement
-- Each time that a letter's event was appended to its topic again.
CREATE TABLE IF NOT EXISTS $database.dead_letter_replays $on_cluster
(
    letter_id String,
    replay_id String COMMENT 'of the command',
    time DateTime64(6, 'UTC'),
    topic LowCardinality(String) COMMENT 'where the event stands now',
    partition UInt32,
    offset UInt64,
    user String,
    late Bool,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (letter_id, replay_id)
SETTINGS $dedup_window = 10000

-- statement
-- Stops because of too many dead letters, and what somebody did to let a processor go on. Of a stop at the same place the last stays.
CREATE TABLE IF NOT EXISTS $database.dead_letter_stops $on_cluster
(
    processor LowCardinality(String),
    kind LowCardinality(String) COMMENT 'stopped or went_on',
    time DateTime64(6, 'UTC'),
    topic LowCardinality(String) COMMENT 'of the record before which it stopped',
    partition UInt32,
    offset UInt64,
    reason String CODEC(ZSTD(1)),
    user String,
    allow UInt64 COMMENT 'dead letters that do not count towards the limit from then on',
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(time)
ORDER BY (processor, kind, topic, partition, offset)
SETTINGS $dedup_window = 10000
