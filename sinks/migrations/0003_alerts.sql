-- Alerts: what was decided, and what became of each notice. Both are copies of what the alerts topic says.

-- statement
CREATE TABLE IF NOT EXISTS $database.alert_log $on_cluster
(
    workspace LowCardinality(String),
    decision_id String CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    rule LowCardinality(String),
    severity UInt8,
    subject String CODEC(ZSTD(1)) COMMENT 'the key of de-duplication',
    decision LowCardinality(String) COMMENT 'notify, suppress, resolve …',
    reason String CODEC(ZSTD(1)),
    event_id String CODEC(ZSTD(1)) COMMENT 'the event that was judged',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    decided_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    status LowCardinality(String) COMMENT 'of the run, as the event said it',
    experiment_name LowCardinality(String),
    notice_ids Array(String) COMMENT 'the notices it led to',
    payload String CODEC(ZSTD(3)),
    version UInt64,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64 CODEC(Delta(8), ZSTD(1)),
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, decision_id)
SETTINGS $dedup_window = 10000

-- statement
CREATE TABLE IF NOT EXISTS $database.notice_log $on_cluster
(
    workspace LowCardinality(String),
    notice_id String CODEC(ZSTD(1)),
    decision_id String CODEC(ZSTD(1)),
    run_id String CODEC(ZSTD(1)),
    rule LowCardinality(String),
    severity UInt8,
    recipient String CODEC(ZSTD(1)),
    subject String CODEC(ZSTD(1)) COMMENT 'of the mail',
    state LowCardinality(String) COMMENT 'pending, accepted, refused, suppressed or digested',
    reason String CODEC(ZSTD(1)),
    attempts UInt32,
    next_attempt_time DateTime64(6, 'UTC'),
    event_time DateTime64(6, 'UTC'),
    decided_time DateTime64(6, 'UTC'),
    done_time DateTime64(6, 'UTC'),
    message_id String CODEC(ZSTD(1)),
    smtp_reply String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(3)) COMMENT 'the state of the mailer, for it to go on from',
    version UInt64,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, notice_id)
SETTINGS $dedup_window = 10000
