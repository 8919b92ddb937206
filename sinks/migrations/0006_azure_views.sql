-- The tables that Azure Monitor has of runs, column by column, so that a query written for Log Analytics runs here. Columns that Azure does
-- not have stand at the end. Columns about Azure's own billing and tenants are there and empty.

-- statement
CREATE OR REPLACE VIEW $database.AmlRunStatusChangedEvent $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    time AS TimeGenerated,
    run_id AS RunId,
    parent_run_id AS ParentRunId,
    root_run_id AS RootRunId,
    status AS Status,
    message AS Message,
    if(actor_kind = 'user' AND actor_name != '', actor_name, toString(user)) AS TriggeringUserName,
    workspace AS WorkspaceName,
    workspace AS WorkspaceId,
    'RunStatusChanged' AS OperationName,
    '1' AS OperationVersion,
    multiIf(status = 'Completed', 'Succeeded', status = 'Failed', 'Failed', status IN ('NotStarted', 'Starting'), 'Started', status = 'Canceled', 'Resolved', 'In Progress') AS ResultType,
    cause AS ResultSignature,
    '' AS ResultDescription,
    multiIf(status = 'Failed', 'Error', status IN ('NotResponding', 'Canceled'), 'Warning', 'Informational') AS Level,
    if(actor_name != '', actor_name, toString(user)) AS Identity,
    event_id AS CorrelationId,
    if(toUnixTimestamp64Micro(end_time) > 0 AND toUnixTimestamp64Micro(start_time) > 0, toString(dateDiff('millisecond', start_time, end_time)), '') AS DurationMs,
    '' AS CallerIpAddress,
    '' AS Location,
    'runherald' AS SourceSystem,
    '' AS TenantId,
    'AmlRunStatusChangedEvent' AS Type,
    concat('/workspaces/', workspace) AS _ResourceId,
    '' AS _SubscriptionId,
    toFloat64(0) AS _BilledSize,
    'false' AS _IsBillable,
    experiment_name AS ExperimentName,
    display_name AS DisplayName,
    previous_status AS PreviousStatus,
    attempt AS Attempt,
    revision AS Revision,
    cause AS Cause,
    error_code AS ErrorCode,
    error_message AS ErrorMessage,
    claim AS Claim,
    correction AS Correction
FROM $database.transitions_log FINAL
WHERE accepted

-- statement
CREATE OR REPLACE VIEW $database.AmlRunEvent $on_cluster DEFINER = $definer SQL SECURITY DEFINER AS
SELECT
    time AS TimeGenerated,
    run_id AS RunId,
    operation AS OperationName,
    if(outcome = 'rejected', 'Failed', 'Succeeded') AS ResultType,
    if(outcome = 'rejected', 'Warning', 'Informational') AS Level,
    actor_name AS Identity,
    '' AS AadTenantId,
    workspace AS AmlWorkspaceId,
    'runherald' AS SourceSystem,
    '' AS TenantId,
    'AmlRunEvent' AS Type,
    concat('/workspaces/', workspace) AS _ResourceId,
    '' AS _SubscriptionId,
    toFloat64(0) AS _BilledSize,
    'false' AS _IsBillable,
    workspace AS WorkspaceName,
    experiment_name AS ExperimentName,
    event_id AS EventId,
    reason AS Reason,
    payload AS Payload
FROM $database.run_events FINAL
WHERE type = 'AmlRunEvent' AND outcome != 'duplicate'
