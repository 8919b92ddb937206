-- Metrics and logs. Times are microseconds since 1970 in Int64: numpy columns of integers are what goes in fast.

-- statement
-- Which run and name a series is. `series_id` is made by runherald.sinks.series.
CREATE TABLE IF NOT EXISTS $database.metric_series $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    series_id UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (workspace, run_id, name, series_id)
SETTINGS $dedup_window = 10000

-- statement
-- Scalar points. The value is part of the key: two values of one step and microsecond are two points. NaN equals NaN here.
CREATE TABLE IF NOT EXISTS $database.metric_points $on_cluster
(
    series_id UInt64 CODEC(Delta(8), ZSTD(1)),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    time Int64 CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    _partition UInt32 CODEC(ZSTD(1)),
    _offset UInt64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Micro(time, 'UTC'))
ORDER BY (series_id, step, time, value)
SETTINGS $dedup_window = 10000

-- statement
-- Texts logged as metrics.
CREATE TABLE IF NOT EXISTS $database.metric_texts $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    time Int64 CODEC(DoubleDelta, ZSTD(1)),
    event_id String CODEC(ZSTD(1)),
    position UInt32 COMMENT 'place among the texts of the event',
    text String CODEC(ZSTD(1)),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64 CODEC(Delta(8), ZSTD(1)),
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (workspace, run_id, name, step, time, event_id, position)
SETTINGS $dedup_window = 10000

-- statement
-- Rows, tables, lists, images and charts logged as metrics; `value` is JSON.
CREATE TABLE IF NOT EXISTS $database.metric_objects $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    time Int64 CODEC(DoubleDelta, ZSTD(1)),
    event_id String CODEC(ZSTD(1)),
    position UInt32 COMMENT 'place among the objects of the event',
    kind LowCardinality(String),
    value String CODEC(ZSTD(3)),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64 CODEC(Delta(8), ZSTD(1)),
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (workspace, run_id, name, step, time, event_id, position)
SETTINGS $dedup_window = 10000

-- statement
-- What a metric is, in the words of whoever logged it; the last word stays.
CREATE TABLE IF NOT EXISTS $database.metric_descriptions $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    description String CODEC(ZSTD(1)),
    version UInt64,
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
ORDER BY (workspace, run_id, name)
SETTINGS $dedup_window = 10000

-- statement
-- Console lines and growing files. Each producer counts its own lines of a file, so it is part of the key.
CREATE TABLE IF NOT EXISTS $database.log_lines $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    file LowCardinality(String),
    producer String CODEC(ZSTD(1)),
    stream LowCardinality(String),
    number Int64 CODEC(Delta(8), ZSTD(1)),
    time Int64 CODEC(Delta(8), ZSTD(1)),
    text String CODEC(ZSTD(3)),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64 CODEC(Delta(8), ZSTD(1)),
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (workspace, run_id, file, producer, stream, number)
SETTINGS $dedup_window = 10000
