-- name: insert_effect
-- Guard: the key is new, and the claim is admitted: its dependency's breaker is closed, its workflow is not stopped;
-- and the outside has not told that it is done. One row changed when all hold.
INSERT INTO holdfast_effect (
    tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
    lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
    audit_id, external_id, undoes
)
SELECT
    :tenant, :key, :workflow_id, :tool, :intent, :safety, :fingerprint, :args, :call_id, :actor, :state, 1, :attempt,
    :owner, :lease_until, :deadline_at, :result, :result_gap, :error, :at, :at, :observed_at, 1, :audit_hash,
    (SELECT coalesce(max(id), 0) + 1 FROM holdfast_audit), :external_id, :undoes
WHERE NOT EXISTS (SELECT 1 FROM holdfast_dependency
                  WHERE tenant = :tenant AND name = :dependency AND state <> 'closed')
  AND NOT EXISTS (SELECT 1 FROM holdfast_workflow
                  WHERE :obeys AND tenant = :tenant AND workflow_id = :workflow_id AND stopped IS NOT NULL)
  AND (:epoch IS NULL
       OR EXISTS (SELECT 1 FROM holdfast_execution
                  WHERE tenant = :tenant AND workflow_id = :workflow_id AND epoch = :epoch AND status = 'running'))
  AND NOT EXISTS (SELECT 1 FROM holdfast_signal
                  WHERE :untold AND tenant = :tenant AND subject = :key AND outcome = 'done')
ON CONFLICT DO NOTHING;

-- name: move_effect
-- Guard (I3): state, fence and the end of the audit trail are what the writer saw; the lease is over if it must be; a
-- claim is admitted.
UPDATE holdfast_effect
SET state = :to,
    fence = fence + :fence_step,
    attempt = attempt + :attempt_step,
    owner = coalesce(:owner, owner),
    safety = coalesce(:safety, safety),
    args = coalesce(:args, args),
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
    external_id = coalesce(:external_id, external_id),
    uncertain = coalesce(:uncertain, uncertain),
    spent = coalesce(:spent, spent),
    not_before = CASE WHEN :fence_step OR :not_before IS NOT NULL THEN :not_before ELSE not_before END,
    retry_from = CASE WHEN :renews THEN attempt + :attempt_step ELSE retry_from + :unstarted END,
    retry_since = CASE WHEN :renews THEN :at ELSE retry_since END,
    audit_prev = audit_id,
    audit_id = (SELECT coalesce(max(id), 0) + 1 FROM holdfast_audit),
    joined = CASE WHEN :fence_step THEN 0 ELSE joined END
WHERE tenant = :tenant AND key = :key
  AND state = :frm AND fence = :fence AND audit_hash = :prev
  AND (NOT :lease_over OR lease_until <= :now)
  AND NOT EXISTS (SELECT 1 FROM holdfast_dependency AS d
                  WHERE d.tenant = :tenant AND d.name = :dependency AND d.state <> 'closed')
  AND NOT EXISTS (SELECT 1 FROM holdfast_workflow AS w
                  WHERE :obeys AND w.tenant = :tenant AND w.workflow_id = holdfast_effect.workflow_id
                    AND w.stopped IS NOT NULL)
  AND (:epoch IS NULL
       OR EXISTS (SELECT 1 FROM holdfast_execution AS x
                  WHERE x.tenant = :tenant AND x.workflow_id = holdfast_effect.workflow_id AND x.epoch = :epoch
                    AND x.status = 'running'));

-- name: review_workflow
-- Count effects in doubt, stop the workflow or let it go on; the status follows.
INSERT INTO holdfast_workflow (tenant, workflow_id, status, open_reviews, updated_at, stopped, stopped_by)
VALUES (:tenant, :workflow_id, CASE WHEN :delta > 0 OR :stop IS NOT NULL THEN 'needs_review' ELSE 'running' END,
        max(:delta, 0), :at, :stop, :stopped_by)
ON CONFLICT (tenant, workflow_id) DO UPDATE
SET open_reviews = max(open_reviews + :delta, 0),
    status = CASE
        WHEN open_reviews + :delta > 0 OR :stop IS NOT NULL OR (stopped IS NOT NULL AND NOT :resumes)
            THEN 'needs_review'
        WHEN status = 'needs_review' THEN 'running'
        ELSE status
    END,
    stopped = CASE WHEN :stop IS NOT NULL THEN :stop WHEN :resumes THEN NULL ELSE stopped END,
    -- What is said again for the same reason is no news: it stays with who said it first.
    stopped_by = CASE WHEN :stop IS NOT stopped AND :stop IS NOT NULL THEN :stopped_by
                      WHEN :resumes THEN NULL ELSE stopped_by END,
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
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant AND key = :key;

-- name: list_effects
-- Newest first; a NULL parameter means any.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
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

-- name: list_effects_outside
-- Those that the system outside knows by a name of its own, by its index.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant AND external_id = :external_id
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
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
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
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant AND state IN ('waiting', 'retryable', 'unknown') AND state = :state
  AND (:tool IS NULL OR tool = :tool)
  AND (:intent IS NULL OR intent = :intent)
  AND (:since IS NULL OR created_at >= :since)
  AND (:before IS NULL OR updated_at < :before)
  AND (:key_prefix IS NULL OR (key >= :key_prefix AND key < :key_end))
ORDER BY created_at DESC, key DESC
LIMIT :limit;

-- name: list_due_effects
-- What has waited longest first.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant AND (:state IS NULL OR state = :state)
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:external_id IS NULL OR external_id = :external_id)
  AND (:tool IS NULL OR tool = :tool)
  AND (:intent IS NULL OR intent = :intent)
  AND (:due IS NULL OR not_before IS NULL OR not_before <= :due)
  AND (:lapsed IS NULL OR lease_until <= :lapsed)
  AND (:since IS NULL OR created_at >= :since)
  AND (:before IS NULL OR updated_at < :before)
  AND (:key_prefix IS NULL OR (key >= :key_prefix AND key < :key_end))
ORDER BY coalesce(not_before, created_at), key
LIMIT :limit;

-- name: list_due_open_effects
-- The same for unfinished business, by its index.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = :tenant AND state IN ('waiting', 'retryable', 'unknown') AND state = :state
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:external_id IS NULL OR external_id = :external_id)
  AND (:tool IS NULL OR tool = :tool)
  AND (:intent IS NULL OR intent = :intent)
  AND (:due IS NULL OR not_before IS NULL OR not_before <= :due)
  AND (:lapsed IS NULL OR lease_until <= :lapsed)
  AND (:since IS NULL OR created_at >= :since)
  AND (:before IS NULL OR updated_at < :before)
  AND (:key_prefix IS NULL OR (key >= :key_prefix AND key < :key_end))
ORDER BY coalesce(not_before, created_at), key
LIMIT :limit;

-- name: count_effects
SELECT state, count(*) FROM holdfast_effect
WHERE tenant = :tenant AND (:before IS NULL OR updated_at < :before) AND (:since IS NULL OR created_at >= :since)
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
SELECT tenant, workflow_id, status, open_reviews, updated_at, stopped, stopped_by
FROM holdfast_workflow
WHERE tenant = :tenant AND workflow_id = :workflow_id;

-- name: list_workflows
SELECT tenant, workflow_id, status, open_reviews, updated_at, stopped, stopped_by
FROM holdfast_workflow
WHERE tenant = :tenant AND (:status IS NULL OR status = :status)
ORDER BY updated_at DESC, workflow_id DESC
LIMIT :limit;

-- name: get_dependency
SELECT tenant, name, version, state, retry_at, body, updated_at
FROM holdfast_dependency
WHERE tenant = :tenant AND name = :name;

-- name: list_dependencies
SELECT tenant, name, version, state, retry_at, body, updated_at
FROM holdfast_dependency
WHERE tenant = :tenant
ORDER BY name;

-- name: put_dependency
-- Guard: the version on record is the one before. One row changed when it is.
INSERT INTO holdfast_dependency (tenant, name, version, state, retry_at, body, updated_at)
SELECT :tenant, :name, :version, :state, :retry_at, :body, :at
WHERE :version = 1 OR EXISTS (SELECT 1 FROM holdfast_dependency WHERE tenant = :tenant AND name = :name)
ON CONFLICT (tenant, name) DO UPDATE
SET version = :version, state = :state, retry_at = :retry_at, body = :body, updated_at = :at
WHERE holdfast_dependency.version = :version - 1;

-- name: put_signal
-- Guard: it is a new one.
INSERT INTO holdfast_signal (tenant, subject, id, outcome, body, received_at)
VALUES (:tenant, :subject, :id, :outcome, :body, :received_at)
ON CONFLICT DO NOTHING;

-- name: list_signals
SELECT tenant, subject, id, outcome, body, received_at
FROM holdfast_signal
WHERE tenant = :tenant AND subject = :subject
ORDER BY received_at, id, outcome;

-- name: reap_signals
-- Not those of unfinished business: they may be its only evidence. Nor those of what stopped a workflow: they may be why.
DELETE FROM holdfast_signal
WHERE (tenant, subject, id, outcome) IN (
    SELECT tenant, subject, id, outcome FROM holdfast_signal
    WHERE tenant = :tenant AND received_at < :before
      AND NOT EXISTS (
        SELECT 1 FROM holdfast_effect AS e
        WHERE e.tenant = holdfast_signal.tenant AND e.key = holdfast_signal.subject
          AND e.state NOT IN ('succeeded', 'failed', 'denied', 'cancelled', 'compensated'))
      AND subject NOT IN (SELECT stopped_by FROM holdfast_workflow WHERE tenant = :tenant AND stopped_by IS NOT NULL)
    LIMIT :limit);

-- name: reap_dependencies
-- Nobody has called them for as long: what is known of them is over, and their budgets are full again.
DELETE FROM holdfast_dependency
WHERE tenant = :tenant AND name IN (
    SELECT name FROM holdfast_dependency
    WHERE tenant = :tenant AND state = 'closed' AND updated_at < :before
    LIMIT :limit);

-- name: renew_leases
-- One statement for all live claims; a claim that was lost (fence) or ended (state) is not renewed.
UPDATE holdfast_effect
SET lease_until = :lease_until
WHERE state = 'pending'
  AND (tenant, key, fence) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:leases))
RETURNING tenant, key, fence;

-- name: reap_candidates
-- Finished effects only: doubt and unfinished business are for people, and so is what stopped a workflow; an execution
-- that has not ended may yet ask for its effects. The effect with the newest audit entry stays as well: that entry's id
-- must not be given out again.
SELECT key FROM holdfast_effect
WHERE tenant = :tenant AND state IN ('succeeded', 'failed', 'denied', 'cancelled', 'compensated')
  AND updated_at < :before AND audit_id < (SELECT max(id) FROM holdfast_audit)
  AND key NOT IN (SELECT stopped_by FROM holdfast_workflow WHERE tenant = :tenant AND stopped_by IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM holdfast_execution AS e
                  WHERE e.tenant = :tenant AND e.workflow_id = holdfast_effect.workflow_id AND e.ended_at IS NULL)
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
