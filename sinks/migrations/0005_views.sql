-- What users query. Names and columns are stable and documented (docs/schema.md); the tables below are ours to change.
--
-- A view runs with its maker's rights, so that a user needs rights on the view alone.

-- statement
CREATE OR REPLACE VIEW $database.runs $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    run_id,
    experiment_name AS experiment,
    workspace,
    status,
    display_name,
    description,
    cause,
    message,
    error_code,
    error_message,
    parent_run_id,
    root_run_id,
    run_type,
    compute_target,
    user,
    script_name,
    attempt,
    revision,
    claimed,
    life,
    nullIf(created_time, toDateTime64(0, 6, 'UTC')) AS created_time,
    nullIf(start_time, toDateTime64(0, 6, 'UTC')) AS start_time,
    nullIf(end_time, toDateTime64(0, 6, 'UTC')) AS end_time,
    nullIf(status_time, toDateTime64(0, 6, 'UTC')) AS status_time,
    nullIf(last_seen, toDateTime64(0, 6, 'UTC')) AS last_seen,
    dateDiff('microsecond', start_time, if(isNull(end_time), if(status IN ('Completed', 'Failed', 'Canceled'), start_time, now64(6, 'UTC')), end_time)) / 1000000 AS duration_seconds,
    tags,
    flags,
    properties,
    params
FROM
(
    SELECT * FROM $database.run_state FINAL
)

-- statement
CREATE OR REPLACE VIEW $database.transitions $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    run_id,
    experiment_name AS experiment,
    workspace,
    status,
    previous_status,
    time,
    attempt,
    revision,
    accepted,
    reason,
    cause,
    message,
    error_code,
    error_message,
    actor_kind,
    actor_name,
    claim,
    correction,
    event_id
FROM $database.transitions_log FINAL

-- statement
CREATE OR REPLACE VIEW $database.metrics $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    series.run_id AS run_id,
    runs.experiment_name AS experiment,
    series.workspace AS workspace,
    series.name AS name,
    points.step AS step,
    fromUnixTimestamp64Micro(points.time, 'UTC') AS time,
    points.value AS value
FROM $database.metric_points AS points FINAL
INNER JOIN (SELECT DISTINCT workspace, run_id, name, series_id FROM $database.metric_series) AS series ON series.series_id = points.series_id
LEFT ANY JOIN (SELECT workspace, run_id, experiment_name FROM $database.run_state FINAL) AS runs
    ON runs.workspace = series.workspace AND runs.run_id = series.run_id

-- statement
CREATE OR REPLACE VIEW $database.objects $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    logged.run_id AS run_id,
    runs.experiment_name AS experiment,
    logged.workspace AS workspace,
    logged.name AS name,
    logged.kind AS kind,
    logged.step AS step,
    fromUnixTimestamp64Micro(logged.time, 'UTC') AS time,
    logged.value AS value
FROM
(
    SELECT workspace, run_id, name, 'text' AS kind, step, time, text AS value FROM $database.metric_texts FINAL
    UNION ALL
    SELECT workspace, run_id, name, kind, step, time, value FROM $database.metric_objects FINAL
) AS logged
LEFT ANY JOIN (SELECT workspace, run_id, experiment_name FROM $database.run_state FINAL) AS runs
    ON runs.workspace = logged.workspace AND runs.run_id = logged.run_id

-- statement
CREATE OR REPLACE VIEW $database.params $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    params.run_id AS run_id,
    runs.experiment_name AS experiment,
    params.workspace AS workspace,
    params.key AS key,
    params.value AS value,
    params.value_num AS value_num
FROM $database.run_params AS params FINAL
LEFT ANY JOIN (SELECT workspace, run_id, experiment_name FROM $database.run_state FINAL) AS runs
    ON runs.workspace = params.workspace AND runs.run_id = params.run_id

-- statement
CREATE OR REPLACE VIEW $database.tags $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    tags.run_id AS run_id,
    runs.experiment_name AS experiment,
    tags.workspace AS workspace,
    tags.key AS key,
    tags.value AS value,
    tags.value_num AS value_num,
    tags.is_flag AS is_flag
FROM $database.run_tags AS tags FINAL
LEFT ANY JOIN (SELECT workspace, run_id, experiment_name FROM $database.run_state FINAL) AS runs
    ON runs.workspace = tags.workspace AND runs.run_id = tags.run_id
WHERE NOT tags.removed

-- statement
CREATE OR REPLACE VIEW $database.logs $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    lines.run_id AS run_id,
    runs.experiment_name AS experiment,
    lines.workspace AS workspace,
    lines.file AS file,
    lines.number AS number,
    fromUnixTimestamp64Micro(lines.time, 'UTC') AS time,
    lines.stream AS stream,
    lines.text AS text,
    lines.producer AS producer
FROM $database.log_lines AS lines FINAL
LEFT ANY JOIN (SELECT workspace, run_id, experiment_name FROM $database.run_state FINAL) AS runs
    ON runs.workspace = lines.workspace AND runs.run_id = lines.run_id

-- statement
CREATE OR REPLACE VIEW $database.outputs $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    files.run_id AS run_id,
    runs.experiment_name AS experiment,
    files.workspace AS workspace,
    files.path AS path,
    files.size AS size,
    files.sha256 AS sha256,
    files.content_type AS content_type,
    files.uri AS uri,
    files.time AS time
FROM $database.run_outputs AS files FINAL
LEFT ANY JOIN (SELECT workspace, run_id, experiment_name FROM $database.run_state FINAL) AS runs
    ON runs.workspace = files.workspace AND runs.run_id = files.run_id

-- statement
CREATE OR REPLACE VIEW $database.alerts $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    decision_id,
    run_id,
    experiment_name AS experiment,
    workspace,
    rule,
    severity,
    status,
    subject,
    decision,
    reason,
    event_id,
    event_time,
    decided_time,
    notice_ids
FROM $database.alert_log FINAL

-- statement
CREATE OR REPLACE VIEW $database.notices $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    notice_id,
    decision_id,
    run_id,
    workspace,
    rule,
    severity,
    recipient,
    subject,
    state,
    reason,
    attempts,
    nullIf(next_attempt_time, toDateTime64(0, 6, 'UTC')) AS next_attempt_time,
    nullIf(event_time, toDateTime64(0, 6, 'UTC')) AS event_time,
    nullIf(decided_time, toDateTime64(0, 6, 'UTC')) AS decided_time,
    nullIf(done_time, toDateTime64(0, 6, 'UTC')) AS done_time,
    message_id,
    smtp_reply
FROM $database.notice_log FINAL
