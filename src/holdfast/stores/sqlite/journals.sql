-- name: list_steps
-- In the order in which the code was told of their ends.
SELECT name, occurrence, kind, fingerprint, state, position, attempt, started_at, ended_at, args, result, error, due_at,
       effect, child
FROM holdfast_step
WHERE tenant = :tenant AND workflow_id = :workflow_id AND (position IS NULL OR position > :after)
ORDER BY position IS NULL, position, name, fingerprint, occurrence;

-- name: list_step_effects
-- Those that steps were answered from.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant
  AND key IN (SELECT effect FROM holdfast_step
              WHERE tenant = :tenant AND workflow_id = :workflow_id AND effect IS NOT NULL
                AND (position IS NULL OR position > :after));

-- name: list_step_children
-- Those that pending steps wait for.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = :tenant
  AND workflow_id IN (SELECT child FROM holdfast_step
                      WHERE tenant = :tenant AND workflow_id = :workflow_id AND child IS NOT NULL AND position IS NULL);

-- name: list_messages
SELECT name, id, number, body, received_at
FROM holdfast_message
WHERE tenant = :tenant AND workflow_id = :workflow_id
ORDER BY number;

-- name: list_executions
-- Last touched first; a NULL parameter means any.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:parent IS NULL OR parent = :parent)
  AND (:is_paused IS NULL OR (pause <> '') = :is_paused)
ORDER BY updated_at DESC, workflow_id DESC
LIMIT :limit;

-- name: list_children
-- The same for those that a workflow began, by its index.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution INDEXED BY holdfast_execution_children
WHERE tenant = :tenant AND parent = :parent AND parent <> ''
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:is_paused IS NULL OR (pause <> '') = :is_paused)
ORDER BY updated_at DESC, workflow_id DESC
LIMIT :limit;

-- name: list_ended_executions
-- The same for a status that is an end, by its index.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution INDEXED BY holdfast_execution_ended
WHERE tenant = :tenant AND status = :status AND ended_at IS NOT NULL
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:parent IS NULL OR parent = :parent)
  AND (:is_paused IS NULL OR (pause <> '') = :is_paused)
ORDER BY ended_at DESC, workflow_id DESC
LIMIT :limit;

-- name: list_due_executions
-- What somebody should work on: what has waited longest first.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = :tenant
  AND workflow_id IN (
    SELECT workflow_id FROM holdfast_execution INDEXED BY holdfast_execution_open
    WHERE tenant = :tenant AND ended_at IS NULL AND status IN ('queued', 'waiting', 'needs_review') AND wake_at <= :now
    UNION ALL
    SELECT workflow_id FROM holdfast_execution INDEXED BY holdfast_execution_open
    WHERE tenant = :tenant AND ended_at IS NULL AND status = 'running' AND lease_until <= :now)
  AND pause = ''
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:parent IS NULL OR parent = :parent)
  AND (:is_paused IS NULL OR (pause <> '') = :is_paused)
ORDER BY coalesce(wake_at, lease_until), workflow_id
LIMIT :limit;

-- name: list_one_execution
-- The same for one workflow: its row, if all that is asked for holds.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:parent IS NULL OR parent = :parent)
  AND (:is_paused IS NULL OR (pause <> '') = :is_paused)
  AND (NOT :is_due OR (pause = '' AND ((status IN ('queued', 'waiting', 'needs_review') AND wake_at <= :now)
                                       OR (status = 'running' AND lease_until <= :now))))
LIMIT :limit;
