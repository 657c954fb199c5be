-- What the code that came with migration 0001 sends, to the letter; never to be changed.

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
