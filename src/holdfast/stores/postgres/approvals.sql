-- name: insert_effect_asked
-- As insert_effect does it, with a question to people about the effect.
SELECT holdfast_write_approvals_v1(
    holdfast_insert_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                       $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
                       $39, $40, $41, $42, $43),
    $44);

-- name: move_effect_asked
-- As move_effect does it, with what becomes of the questions about the effect. Guard as well (I4): they are as the writer
-- saw them. First the approvals are locked, then the effect: one order for everybody.
SELECT CASE WHEN holdfast_approvals_hold_v1($1, $50) THEN
    holdfast_write_approvals_v1(
        holdfast_woken_v1(
            holdfast_move_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                             $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
                             $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49),
            $2, $24, $23, $36 OR $51::boolean, $21),
        $50)
ELSE holdfast_present_v1($1, $2, $3) END;

-- name: get_approval
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = %(tenant)s AND id = %(id)s;

-- name: get_latest_approval
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = %(tenant)s AND key = %(key)s
ORDER BY number DESC
LIMIT 1;

-- name: list_pending_approvals
-- What expires first, first.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = %(tenant)s AND state = 'pending'
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(id_prefix)s::text IS NULL OR starts_with(id, %(id_prefix)s))
  AND (NOT %(has_notices)s OR notices > 0)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(after_at)s::timestamptz IS NULL OR (expires_at, id) > (%(after_at)s::timestamptz, %(after_id)s))
ORDER BY expires_at, id
LIMIT %(limit)s;

-- name: list_approvals
-- Newest first; a NULL parameter means any.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = %(tenant)s
  AND (%(state)s::holdfast_approval_state IS NULL OR state = %(state)s::holdfast_approval_state)
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(id_prefix)s::text IS NULL OR starts_with(id, %(id_prefix)s))
  AND (NOT %(has_notices)s OR notices > 0)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(after_at)s::timestamptz IS NULL OR (created_at, id) < (%(after_at)s::timestamptz, %(after_id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s;

-- name: list_approvals_by_id
-- These; a statement of its own, so that no other index is walked for them.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = %(tenant)s AND id = ANY (%(ids)s::text[])
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s;

-- name: list_due_approvals
-- Longest due first.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval
WHERE tenant = %(tenant)s AND due_at <= %(due)s::timestamptz
  AND (%(state)s::holdfast_approval_state IS NULL OR state = %(state)s::holdfast_approval_state)
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(id_prefix)s::text IS NULL OR starts_with(id, %(id_prefix)s))
  AND (NOT %(has_notices)s OR notices > 0)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
ORDER BY due_at, id
LIMIT %(limit)s;

-- name: list_stranded_approvals
-- Questions that nobody waits for any more: their workflows have ended after they were asked.
SELECT tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at, notices,
       created_at, updated_at
FROM holdfast_approval AS a
WHERE tenant = %(tenant)s AND state = 'pending'
  AND EXISTS (
      SELECT 1 FROM holdfast_execution AS e
      WHERE e.tenant = a.tenant AND e.workflow_id = a.workflow_id AND e.ended_at >= a.created_at)
ORDER BY expires_at, id
LIMIT %(limit)s;

-- name: count_approvals
SELECT state, count(*) FROM holdfast_approval WHERE tenant = %(tenant)s GROUP BY state;

-- name: reap_approvals
-- Of effects that are gone.
DELETE FROM holdfast_approval
WHERE (tenant, id) IN (
    SELECT a.tenant, a.id FROM holdfast_approval AS a
    WHERE a.tenant = %(tenant)s AND a.updated_at < %(before)s
      AND NOT EXISTS (SELECT 1 FROM holdfast_effect AS e WHERE e.tenant = a.tenant AND e.key = a.key)
    LIMIT %(limit)s)
RETURNING 1;
