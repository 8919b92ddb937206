-- Runs: what was said of them, and what became of it.
--
-- Sort keys hold only what never changes and is known at a row's first event. Columns that begin with _ say where in the log the row comes
-- from. A time that is not known is 1970-01-01; the views show it as NULL.

-- statement
-- The truth: every event of the events topic, verbatim. Of an event that came twice the first in the log stays: the version counts down.
CREATE TABLE IF NOT EXISTS $database.run_events $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    event_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    data_version UInt16,
    producer String CODEC(ZSTD(1)),
    sequence UInt64 CODEC(Delta(8), ZSTD(1)),
    time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    recorded_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'accepted: a transition; taken: no transition; rejected: see reason; duplicate: changed nothing',
    reason String CODEC(ZSTD(1)),
    operation LowCardinality(String),
    status LowCardinality(String) COMMENT 'the status reported by a status event',
    experiment_name LowCardinality(String),
    actor_kind LowCardinality(String),
    actor_name String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(3)) COMMENT 'JSON, as it came',
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64 CODEC(Delta(8), ZSTD(1)),
    _precedence UInt64 MATERIALIZED 18446744073709551615 - _offset,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree(_precedence)
PARTITION BY toYYYYMM(time)
ORDER BY (workspace, run_id, time, event_id)
SETTINGS $dedup_window = 10000

-- statement
-- What the state machine made of the status events: each accepted transition, each refused report.
CREATE TABLE IF NOT EXISTS $database.transitions_log $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    event_id String CODEC(ZSTD(1)) COMMENT 'the event that caused it',
    accepted Bool,
    reason String CODEC(ZSTD(1)) COMMENT 'why it was refused',
    status LowCardinality(String),
    previous_status LowCardinality(String),
    time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    recorded_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    attempt UInt32,
    revision UInt32 COMMENT 'counts the accepted transitions of a run; of a refused report, how many there were before it',
    cause LowCardinality(String),
    message String CODEC(ZSTD(1)),
    error_code LowCardinality(String),
    error_message String CODEC(ZSTD(1)),
    actor_kind LowCardinality(String),
    actor_name String CODEC(ZSTD(1)),
    claim Bool,
    correction Bool,
    start_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    end_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    experiment_name LowCardinality(String),
    display_name String CODEC(ZSTD(1)),
    parent_run_id String CODEC(ZSTD(1)),
    root_run_id String CODEC(ZSTD(1)),
    user LowCardinality(String),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64 CODEC(Delta(8), ZSTD(1)),
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (workspace, run_id, time, event_id, accepted)
SETTINGS $dedup_window = 10000

-- statement
-- The present state of each run. No partitions: FINAL over partitions would be slow. `state` is what the fold goes on from.
CREATE TABLE IF NOT EXISTS $database.run_state $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    version UInt64 COMMENT 'position in the log of the last event folded in, plus 1',
    state String CODEC(ZSTD(3)) COMMENT 'runherald.state.RunState as JSON',
    status LowCardinality(String),
    experiment_name LowCardinality(String),
    display_name String CODEC(ZSTD(1)),
    description String CODEC(ZSTD(1)),
    parent_run_id String CODEC(ZSTD(1)),
    root_run_id String CODEC(ZSTD(1)),
    run_type LowCardinality(String),
    compute_target LowCardinality(String),
    user LowCardinality(String),
    script_name String CODEC(ZSTD(1)),
    cause LowCardinality(String),
    message String CODEC(ZSTD(1)),
    error_code LowCardinality(String),
    error_message String CODEC(ZSTD(1)),
    attempt UInt32,
    revision UInt32,
    claimed Bool,
    life LowCardinality(String),
    created_time DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    start_time DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    end_time DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    status_time DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    last_seen DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    lease_seconds Float64,
    tags Map(LowCardinality(String), String) COMMENT 'tags that have a value',
    flags Array(String) COMMENT 'tags without a value',
    properties Map(LowCardinality(String), String),
    params Map(LowCardinality(String), String),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, run_id)
SETTINGS $dedup_window = 10000

-- statement
-- Parameters, one row a key, sorted for "runs where lr is above 0.01".
CREATE TABLE IF NOT EXISTS $database.run_params $on_cluster
(
    workspace LowCardinality(String),
    key LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    value String CODEC(ZSTD(1)),
    value_num Float64 COMMENT 'NaN where the value is no number',
    version UInt64,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, key, run_id)
SETTINGS $dedup_window = 10000

-- statement
-- Tags, one row a key. A tag that was taken off stays as a row that says so.
CREATE TABLE IF NOT EXISTS $database.run_tags $on_cluster
(
    workspace LowCardinality(String),
    key LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    value String CODEC(ZSTD(1)),
    value_num Float64 COMMENT 'NaN where the value is no number',
    is_flag Bool COMMENT 'a tag without a value',
    removed Bool,
    version UInt64,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, key, run_id)
SETTINGS $dedup_window = 10000

-- statement
-- Files of runs.
CREATE TABLE IF NOT EXISTS $database.run_outputs $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    path String CODEC(ZSTD(1)),
    size UInt64,
    sha256 String CODEC(ZSTD(1)),
    content_type LowCardinality(String),
    uri String CODEC(ZSTD(1)),
    time DateTime64(6, 'UTC'),
    version UInt64,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, run_id, path)
SETTINGS $dedup_window = 10000
