-- Runs by the time of their creation: what lists of runs and counts are read from, without sorting all of history.

-- statement
-- A copy of `run_state` without the state itself, fed by the same inserts. A creation time that becomes known later gives a run a second
-- key: the row at 1970-01-01 stays behind, and readers leave it out. Parts that have been left alone are merged, so that FINAL over a month
-- that is past has nothing to do; blocks are small, because single rows are read out of them. `tag_words` are hashes of tags, of `key` and
-- of `key, value`, for the index alone.
CREATE TABLE IF NOT EXISTS $database.run_index $on_cluster
(
    workspace LowCardinality(String),
    run_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
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
    created_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    start_time DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    end_time DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    last_seen DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    tags Map(LowCardinality(String), String),
    flags Array(String),
    properties Map(LowCardinality(String), String),
    params Map(LowCardinality(String), String),
    tag_words Array(UInt64) CODEC(ZSTD(1)),
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _ingested_at DateTime64(6, 'UTC') DEFAULT now64(6),
    INDEX by_status status TYPE set(20) GRANULARITY 1,
    INDEX by_life life TYPE set(4) GRANULARITY 1,
    INDEX by_experiment experiment_name TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_parent parent_run_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_tag tag_words TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(created_time)
ORDER BY (created_time, run_id, workspace)
SETTINGS $dedup_window = 10000, index_granularity = 1024, min_compress_block_size = 8192, min_age_to_force_merge_seconds = 300

-- statement
CREATE MATERIALIZED VIEW IF NOT EXISTS $database.run_index_feed $on_cluster TO $database.run_index AS
SELECT
    workspace, run_id, version, status, experiment_name, display_name, description, parent_run_id, root_run_id, run_type, compute_target,
    user, script_name, cause, message, error_code, error_message, attempt, revision, claimed, life, created_time, start_time, end_time,
    last_seen, tags, flags, properties, params,
    arrayConcat(
        arrayMap(key -> sipHash64(key), arrayConcat(mapKeys(tags), flags)),
        arrayMap((key, value) -> sipHash64(key, value), mapKeys(tags), mapValues(tags))
    ) AS tag_words,
    _topic, _partition, _offset
FROM $database.run_state

-- statement
-- The runs that were there before. What the view above took in meanwhile comes twice and is one row.
INSERT INTO $database.run_index
(
    workspace, run_id, version, status, experiment_name, display_name, description, parent_run_id, root_run_id, run_type, compute_target,
    user, script_name, cause, message, error_code, error_message, attempt, revision, claimed, life, created_time, start_time, end_time,
    last_seen, tags, flags, properties, params, tag_words, _topic, _partition, _offset
)
SELECT
    workspace, run_id, version, status, experiment_name, display_name, description, parent_run_id, root_run_id, run_type, compute_target,
    user, script_name, cause, message, error_code, error_message, attempt, revision, claimed, life, created_time, start_time, end_time,
    last_seen, tags, flags, properties, params,
    arrayConcat(
        arrayMap(key -> sipHash64(key), arrayConcat(mapKeys(tags), flags)),
        arrayMap((key, value) -> sipHash64(key, value), mapKeys(tags), mapValues(tags))
    ) AS tag_words,
    _topic, _partition, _offset
FROM $database.run_state
SETTINGS max_partitions_per_insert_block = 0, async_insert = 0
