-- What the code that came with migration 0001 sends, to the letter; never to be changed.

-- name: insert_effect
-- Guard: the key is new. The parameters are those of the function, in its order.
SELECT holdfast_insert_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                          $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36);

-- name: move_effect
-- Guard (I3): state, fence and the end of the audit trail are what the writer saw.
SELECT holdfast_move_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                        $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37);

-- name: get_effect
-- The clock first: it is told even when there is no such effect.
SELECT clock_timestamp(), e.tenant, e.key, e.workflow_id, e.tool, e.intent, e.safety, e.fingerprint, e.args, e.call_id,
       e.actor, e.state, e.fence, e.attempt, e.owner, e.lease_until, e.deadline_at, e.result, e.result_gap, e.error,
       e.created_at, e.updated_at, e.observed_at, e.audit_seq, e.audit_hash, e.joined
FROM (SELECT 1) AS one
LEFT JOIN holdfast_effect AS e ON e.tenant = %(tenant)s AND e.key = %(key)s;

