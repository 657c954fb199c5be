-- name: open_approval
INSERT INTO holdfast_approval (
    tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
    created_at, updated_at
)
VALUES (
    :tenant, :id, :key, :workflow_id, :tool, :number, :state, :version, :digest, :binding, :body, :expires_at, :due_at,
    :notices, :created_at, :updated_at
);

-- name: move_approval
-- Guard (I4): it is as the writer saw it, and still good if it must be.
UPDATE holdfast_approval
SET state = :state, version = :version, digest = :digest, binding = :binding, body = :body, expires_at = :expires_at,
    due_at = :due_at, notices = :notices, updated_at = :updated_at
WHERE tenant = :tenant AND id = :id AND state = :frm AND digest = :was AND version = :version - 1
  AND (NOT :unexpired OR expires_at > :now);

-- name: get_approval
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = :tenant AND id = :id;

-- name: get_latest_approval
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = :tenant AND key = :key
ORDER BY number DESC
LIMIT 1;

-- name: list_pending_approvals
-- What expires first, first.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = :tenant AND state = 'pending'
  AND (:key IS NULL OR key = :key)
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:id_prefix IS NULL OR (id >= :id_prefix AND id < :id_end))
  AND (NOT :has_notices OR notices > 0)
  AND (:since IS NULL OR created_at >= :since)
  AND (:after_at IS NULL OR (expires_at, id) > (:after_at, :after_id))
ORDER BY expires_at, id
LIMIT :limit;

-- name: list_approvals
-- Newest first; a NULL parameter means any.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = :tenant
  AND (:state IS NULL OR state = :state)
  AND (:key IS NULL OR key = :key)
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:id_prefix IS NULL OR (id >= :id_prefix AND id < :id_end))
  AND (NOT :has_notices OR notices > 0)
  AND (:since IS NULL OR created_at >= :since)
  AND (:after_at IS NULL OR (created_at, id) < (:after_at, :after_id))
ORDER BY created_at DESC, id DESC
LIMIT :limit;

-- name: list_approvals_by_id
-- These. CROSS JOIN, and an order that no index has, keep the planner from walking all there are for a few.
SELECT a.tenant, a.id, a.key, a.workflow_id, a.tool, a.number, a.state, a.version, a.digest, a.binding, a.body,
       a.expires_at, a.due_at, a.notices, a.created_at, a.updated_at
FROM (SELECT DISTINCT value FROM json_each(:ids)) AS wanted
CROSS JOIN holdfast_approval AS a ON a.tenant = :tenant AND a.id = wanted.value
ORDER BY +a.created_at DESC, a.id DESC
LIMIT :limit;

-- name: list_due_approvals
-- Longest due first.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = :tenant AND due_at <= :due
  AND (:state IS NULL OR state = :state)
  AND (:key IS NULL OR key = :key)
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:id_prefix IS NULL OR (id >= :id_prefix AND id < :id_end))
  AND (NOT :has_notices OR notices > 0)
  AND (:since IS NULL OR created_at >= :since)
ORDER BY due_at, id
LIMIT :limit;

-- name: list_stranded_approvals
-- Questions that nobody waits for any more: their workflows have ended after they were asked.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval AS a
WHERE tenant = :tenant AND state = 'pending'
  AND EXISTS (
      SELECT 1 FROM holdfast_execution AS e
      WHERE e.tenant = a.tenant AND e.workflow_id = a.workflow_id AND e.ended_at >= a.created_at)
ORDER BY expires_at, id
LIMIT :limit;

-- name: count_approvals
SELECT state, count(*) FROM holdfast_approval WHERE tenant = :tenant GROUP BY state;

-- name: reap_approvals
-- Of effects that are gone.
DELETE FROM holdfast_approval
WHERE tenant = :tenant AND id IN (
    SELECT a.id FROM holdfast_approval AS a
    WHERE a.tenant = :tenant AND a.updated_at < :before
      AND NOT EXISTS (SELECT 1 FROM holdfast_effect AS e WHERE e.tenant = a.tenant AND e.key = a.key)
    LIMIT :limit);
