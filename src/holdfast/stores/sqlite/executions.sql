-- name: get_execution
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, epoch, owner, lease_until, crashes,
       wake_at, waits_for, messages, is_paused, created_at, updated_at, ended_at
FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id = :workflow_id;

-- name: begin_execution
-- Guard: its workflow has none. Without an owner it is queued, and due.
INSERT INTO holdfast_execution (
    tenant, workflow_id, function, version, status, input, actor, epoch, owner, lease_until, crashes, wake_at, waits_for,
    messages, is_paused, created_at, updated_at
)
VALUES (
    :tenant, :workflow_id, :function, :version, CASE WHEN :owner = '' THEN 'queued' ELSE 'running' END, :input, :actor,
    :owner <> '', :owner, CASE WHEN :owner = '' THEN :now ELSE :lease_until END, 0,
    CASE WHEN :owner = '' THEN :now END, '', 0, 0, :at, :at
)
ON CONFLICT DO NOTHING;

-- name: take_execution
-- Guard: nobody works on it, or a lease has run out; it is at the epoch that the writer saw, and not paused.
UPDATE holdfast_execution
SET status = 'running',
    epoch = epoch + 1,
    owner = :owner,
    lease_until = :lease_until,
    crashes = crashes + (status = 'running'),
    wake_at = NULL,
    waits_for = '',
    updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND epoch = :epoch AND NOT is_paused
  AND (status IN ('queued', 'waiting', 'needs_review') OR (status = 'running' AND lease_until <= :now));

-- name: progress
-- Guard (I3): the writer has the epoch, and knows of all signals if it must. Its steps are written only after it.
UPDATE holdfast_execution
SET status = coalesce(:to, status),
    output = CASE WHEN :leaves THEN :output ELSE output END,
    error = CASE WHEN :leaves THEN :error ELSE error END,
    owner = CASE WHEN :leaves THEN '' ELSE owner END,
    lease_until = :lease_until,
    crashes = CASE WHEN :comes_further THEN 0 ELSE crashes END,
    wake_at = CASE WHEN :leaves THEN :wake_at ELSE wake_at END,
    waits_for = coalesce(:waits_for, waits_for),
    updated_at = :at,
    ended_at = CASE WHEN :to IN ('succeeded', 'failed', 'cancelled') THEN :at END
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND epoch = :epoch AND status = 'running'
  AND (:seen IS NULL OR messages = :seen);

-- name: keep_step
-- One that is on record under its place is replaced.
INSERT INTO holdfast_step (
    tenant, workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args, result,
    error, due_at, effect
)
VALUES (
    :tenant, :workflow_id, :name, :fingerprint, :occurrence, :kind, :state, :position, :attempt, :started_at, :ended_at,
    :args, :result, :error, :due_at, :effect
)
ON CONFLICT (tenant, workflow_id, name, fingerprint, occurrence) DO UPDATE
SET kind = :kind, state = :state, position = :position, attempt = :attempt, started_at = :started_at,
    ended_at = :ended_at, args = :args, result = :result, error = :error, due_at = :due_at, effect = :effect;

-- name: send
-- Guard: there is an execution that has not ended, and the signal is a new one.
INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
SELECT tenant, workflow_id, :id, messages + 1, :name, :body, :at
FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id = :workflow_id AND status NOT IN ('succeeded', 'failed', 'cancelled')
ON CONFLICT DO NOTHING;

-- name: wake_execution
-- For a signal that was kept just before. Whoever waits is due at once.
UPDATE holdfast_execution
SET messages = messages + 1,
    wake_at = CASE WHEN status IN ('queued', 'waiting', 'needs_review') THEN :now ELSE wake_at END,
    updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id;

-- name: list_steps
-- In the order in which the code was told of their ends.
SELECT name, occurrence, kind, fingerprint, state, position, attempt, started_at, ended_at, args, result, error, due_at,
       effect
FROM holdfast_step
WHERE tenant = :tenant AND workflow_id = :workflow_id
ORDER BY position IS NULL, position, name, fingerprint, occurrence;

-- name: list_step_effects
-- Those that steps were answered from.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant
  AND key IN (SELECT effect FROM holdfast_step
              WHERE tenant = :tenant AND workflow_id = :workflow_id AND effect IS NOT NULL);

-- name: list_messages
SELECT name, id, number, body, received_at
FROM holdfast_message
WHERE tenant = :tenant AND workflow_id = :workflow_id
ORDER BY number;

-- name: list_executions
-- Last touched first; a NULL parameter means any.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, epoch, owner, lease_until, crashes,
       wake_at, waits_for, messages, is_paused, created_at, updated_at, ended_at
FROM holdfast_execution
WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
ORDER BY updated_at DESC, workflow_id DESC
LIMIT :limit;

-- name: list_ended_executions
-- The same for a status that is an end, by its index.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, epoch, owner, lease_until, crashes,
       wake_at, waits_for, messages, is_paused, created_at, updated_at, ended_at
FROM holdfast_execution
WHERE tenant = :tenant AND status = :status AND ended_at IS NOT NULL
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
ORDER BY ended_at DESC, workflow_id DESC
LIMIT :limit;

-- name: list_due_executions
-- What somebody should work on: what has waited longest first.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, epoch, owner, lease_until, crashes,
       wake_at, waits_for, messages, is_paused, created_at, updated_at, ended_at
FROM holdfast_execution
WHERE ((tenant = :tenant AND ended_at IS NULL AND status IN ('queued', 'waiting', 'needs_review') AND wake_at <= :now)
       OR (tenant = :tenant AND ended_at IS NULL AND status = 'running' AND lease_until <= :now))
  AND NOT is_paused
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
ORDER BY coalesce(wake_at, lease_until), workflow_id
LIMIT :limit;

-- name: list_one_execution
-- The same for one workflow: its row, if all that is asked for holds.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, epoch, owner, lease_until, crashes,
       wake_at, waits_for, messages, is_paused, created_at, updated_at, ended_at
FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND (:status IS NULL OR status = :status)
  AND (:functions IS NULL OR function IN (SELECT value FROM json_each(:functions)))
  AND (NOT :is_due OR (NOT is_paused AND ((status IN ('queued', 'waiting', 'needs_review') AND wake_at <= :now)
                                          OR (status = 'running' AND lease_until <= :now))))
LIMIT :limit;

-- name: renew_executions
-- One statement for all; one that was taken by somebody else (epoch) or left (status) is not renewed.
UPDATE holdfast_execution
SET lease_until = :lease_until
WHERE status = 'running'
  AND (tenant, workflow_id, epoch) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:leases))
RETURNING tenant, workflow_id, epoch;
