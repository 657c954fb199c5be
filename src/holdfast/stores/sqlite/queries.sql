-- name: insert_effect
-- Guard: the key is new. One row changed when it was.
INSERT INTO holdfast_effect (
    tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
    lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
    audit_id
) VALUES (
    :tenant, :key, :workflow_id, :tool, :intent, :safety, :fingerprint, :args, :call_id, :actor, :state, 1, :attempt,
    :owner, :lease_until, :deadline_at, :result, :result_gap, :error, :at, :at, :observed_at, 1, :audit_hash,
    (SELECT coalesce(max(id), 0) + 1 FROM holdfast_audit)
)
ON CONFLICT DO NOTHING;

-- name: move_effect
-- Guard (I3): state, fence and the end of the audit trail are what the writer saw; the lease is over if it must be.
UPDATE holdfast_effect
SET state = :to,
    fence = fence + :fence_step,
    attempt = attempt + :attempt_step,
    owner = coalesce(:owner, owner),
    safety = coalesce(:safety, safety),
    lease_until = coalesce(:lease_until, lease_until),
    deadline_at = CASE WHEN :claims THEN :deadline_at WHEN :ends_attempt THEN max(coalesce(deadline_at, :now), :now)
                       ELSE deadline_at END,
    result = CASE WHEN :has_outcome THEN :result ELSE result END,
    result_gap = CASE WHEN :has_outcome THEN :result_gap ELSE result_gap END,
    error = CASE WHEN :has_outcome THEN :error ELSE error END,
    observed_at = CASE WHEN :has_outcome THEN :at ELSE observed_at END,
    updated_at = :at,
    audit_seq = audit_seq + 1,
    audit_hash = :audit_hash,
    audit_prev = audit_id,
    audit_id = (SELECT coalesce(max(id), 0) + 1 FROM holdfast_audit),
    joined = CASE WHEN :fence_step THEN 0 ELSE joined END
WHERE tenant = :tenant AND key = :key
  AND state = :frm AND fence = :fence AND audit_hash = :prev
  AND (NOT :lease_over OR lease_until <= :now);

-- name: review_workflow
-- Count effects in doubt; the status follows the count.
INSERT INTO holdfast_workflow (tenant, workflow_id, status, open_reviews, updated_at)
VALUES (:tenant, :workflow_id, CASE WHEN :delta > 0 THEN 'needs_review' ELSE 'running' END, max(:delta, 0), :at)
ON CONFLICT (tenant, workflow_id) DO UPDATE
SET open_reviews = max(open_reviews + :delta, 0),
    status = CASE
        WHEN open_reviews + :delta > 0 THEN 'needs_review'
        WHEN status = 'needs_review' THEN 'running'
        ELSE status
    END,
    updated_at = :at;

-- name: append_audit
-- The effect's row, written just before, says under which id, and which entry came before.
INSERT INTO holdfast_audit (
    id, before, tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed
)
SELECT audit_id, audit_prev, tenant, key, :seq, :event, :state, :fence, :attempt, :actor, :at, :body, :salt,
       :content_hash, :prev, :hash, :keyed
FROM holdfast_effect
WHERE tenant = :tenant AND key = :key;

-- name: get_effect
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined
FROM holdfast_effect
WHERE tenant = :tenant AND key = :key;

-- name: list_effects
-- Newest first; a NULL parameter means any.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined
FROM holdfast_effect
WHERE tenant = :tenant
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:tool IS NULL OR tool = :tool)
  AND (:intent IS NULL OR intent = :intent)
  AND (:state IS NULL OR state = :state)
  AND (:since IS NULL OR created_at >= :since)
  AND (:before IS NULL OR updated_at < :before)
  AND (:key_prefix IS NULL OR (key >= :key_prefix AND key < :key_end))
ORDER BY created_at DESC, key DESC
LIMIT :limit;

-- name: list_workflow_effects
-- The same for one workflow, by its index.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined
FROM holdfast_effect
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND (:tool IS NULL OR tool = :tool)
  AND (:intent IS NULL OR intent = :intent)
  AND (:state IS NULL OR state = :state)
  AND (:since IS NULL OR created_at >= :since)
  AND (:before IS NULL OR updated_at < :before)
  AND (:key_prefix IS NULL OR (key >= :key_prefix AND key < :key_end))
ORDER BY created_at DESC, key DESC
LIMIT :limit;

-- name: list_open_effects
-- The same for unfinished business, by its index: the literals tell the planner that it may be used.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined
FROM holdfast_effect
WHERE tenant = :tenant AND state IN ('waiting', 'retryable', 'unknown') AND state = :state
  AND (:tool IS NULL OR tool = :tool)
  AND (:intent IS NULL OR intent = :intent)
  AND (:since IS NULL OR created_at >= :since)
  AND (:before IS NULL OR updated_at < :before)
  AND (:key_prefix IS NULL OR (key >= :key_prefix AND key < :key_end))
ORDER BY created_at DESC, key DESC
LIMIT :limit;

-- name: count_effects
SELECT state, count(*) FROM holdfast_effect
WHERE tenant = :tenant AND (:before IS NULL OR updated_at < :before)
GROUP BY state;

-- name: get_trail
-- From the newest entry back to the first. A scalar subquery and CROSS JOIN keep the planner from reading the whole
-- table, which it prefers once it has statistics.
WITH RECURSIVE trail (id) AS (
    SELECT audit_id FROM holdfast_effect WHERE tenant = :tenant AND key = :key
    UNION
    SELECT (SELECT entry.before FROM holdfast_audit AS entry WHERE entry.id = trail.id) FROM trail
    WHERE trail.id IS NOT NULL
)
SELECT tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed
FROM trail CROSS JOIN holdfast_audit USING (id)
WHERE tenant = :tenant AND key = :key
ORDER BY seq;

-- name: get_orphaned_trail
-- The entries of an effect whose row is gone; looks at the whole table.
SELECT tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed
FROM holdfast_audit
WHERE tenant = :tenant AND key = :key
ORDER BY seq;

-- name: list_keys
-- Every effect, and every trail whose effect is gone, in key order.
SELECT tenant, key FROM holdfast_effect
WHERE (tenant, key) > (:after_tenant, :after_key) AND (:tenant IS NULL OR tenant = :tenant)
UNION
SELECT tenant, key FROM holdfast_audit
WHERE (tenant, key) > (:after_tenant, :after_key) AND (:tenant IS NULL OR tenant = :tenant)
ORDER BY 1, 2
LIMIT :limit;

-- name: get_workflow
SELECT tenant, workflow_id, status, open_reviews, updated_at
FROM holdfast_workflow
WHERE tenant = :tenant AND workflow_id = :workflow_id;

-- name: renew_leases
-- One statement for all live claims; a claim that was lost (fence) or ended (state) is not renewed.
UPDATE holdfast_effect
SET lease_until = :lease_until
WHERE state = 'pending'
  AND (tenant, key, fence) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:leases))
RETURNING tenant, key, fence;

-- name: reap_candidates
-- Finished effects only: doubt and unfinished business are for people. The effect with the newest audit entry
-- stays as well: that entry's id must not be given out again.
SELECT key FROM holdfast_effect
WHERE tenant = :tenant AND state IN ('succeeded', 'failed', 'denied', 'cancelled', 'compensated')
  AND updated_at < :before AND audit_id < (SELECT max(id) FROM holdfast_audit)
LIMIT :limit;

-- name: delete_trail
WITH RECURSIVE trail (id) AS (
    SELECT audit_id FROM holdfast_effect WHERE tenant = :tenant AND key = :key
    UNION
    SELECT (SELECT entry.before FROM holdfast_audit AS entry WHERE entry.id = trail.id) FROM trail
    WHERE trail.id IS NOT NULL
)
DELETE FROM holdfast_audit WHERE id IN (SELECT id FROM trail);

-- name: delete_effect
DELETE FROM holdfast_effect
WHERE tenant = :tenant AND key = :key
  AND state IN ('succeeded', 'failed', 'denied', 'cancelled', 'compensated') AND updated_at < :before
  AND audit_id < (SELECT max(id) FROM holdfast_audit);
