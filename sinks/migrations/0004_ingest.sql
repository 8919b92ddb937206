-- How far each processor is: what makes a restart skip what is stored already.

-- statement
-- One row for each range of offsets that is stored: its rows are in, its dead letters are published.
CREATE TABLE IF NOT EXISTS $database.ingest_batches $on_cluster
(
    processor LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    first Int64,
    last Int64,
    rows UInt64,
    dead UInt64,
    writer String,
    written_time DateTime64(6, 'UTC')
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (processor, topic, partition, last, first)
TTL toDateTime(written_time) + INTERVAL 30 DAY
SETTINGS $dedup_window = 10000

-- statement
-- The highest offset stored, kept for ever; the ranges above are an audit of a month.
CREATE TABLE IF NOT EXISTS $database.ingest_watermarks $on_cluster
(
    processor LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    last SimpleAggregateFunction(max, Int64)
)
ENGINE = ${replicated}AggregatingMergeTree
ORDER BY (processor, topic, partition)
SETTINGS $dedup_window = 10000

-- statement
CREATE MATERIALIZED VIEW IF NOT EXISTS $database.ingest_watermarks_feed $on_cluster TO $database.ingest_watermarks AS
SELECT processor, topic, partition, max(last) AS last
FROM $database.ingest_batches
GROUP BY processor, topic, partition
