-- name: begin_session
-- For every connection. Nobody waits for ever, for a lock or for a client that vanished in the middle of a batch; a commit
-- that is reported is on disk. The timeout of transactions exists from PostgreSQL 17 on.
SELECT set_config(name, CASE name
    WHEN 'lock_timeout' THEN '300ms'
    WHEN 'default_transaction_isolation' THEN 'read committed'
    WHEN 'bytea_output' THEN 'hex'
    WHEN 'jit' THEN 'off'
    WHEN 'tcp_keepalives_idle' THEN '10'
    WHEN 'tcp_keepalives_interval' THEN '5'
    WHEN 'tcp_keepalives_count' THEN '3'
    WHEN 'synchronous_commit' THEN CASE setting WHEN 'off' THEN 'on' ELSE setting END
END, false)
FROM pg_settings
WHERE name IN ('lock_timeout', 'default_transaction_isolation', 'bytea_output', 'jit', 'tcp_keepalives_idle',
               'tcp_keepalives_interval', 'tcp_keepalives_count', 'synchronous_commit');

-- name: begin_local
-- For connections that a handler shares: only what makes a reported commit durable. Its locks are its own affair.
SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                                        ELSE current_setting('synchronous_commit') END, false);

-- name: begin_writing
-- For connections of the hot path. Their few statements keep the plans that they were given first: such a plan must not
-- be a scan of what was an empty table then. A transaction is one batch: one that lasts has lost its client.
SELECT set_config(name, CASE name WHEN 'enable_seqscan' THEN 'off' WHEN 'plan_cache_mode' THEN 'force_generic_plan'
                                  WHEN 'transaction_timeout' THEN '15s' END, false)
FROM pg_settings
WHERE name IN ('enable_seqscan', 'plan_cache_mode', 'transaction_timeout');

-- name: insert_effect
-- Guard: the key is new, the claim is admitted, and the outside has not told that it is done. The parameters are those of
-- the function, in its order.
SELECT holdfast_insert_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                          $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
                          $39, $40, $41, $42, $43);

-- name: move_effect
-- Guard (I3): state, fence and the end of the audit trail are what the writer saw; a claim is admitted. Who ends doubt, or
-- lets the workflow go on, wakes its execution.
SELECT holdfast_woken_v1(
    holdfast_move_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                     $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
                     $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49),
    $2, $24, $23, $36, $21);

-- name: get_effect
-- The clock first: it is told even when there is no such effect.
SELECT clock_timestamp(), e.tenant, e.key, e.workflow_id, e.tool, e.intent, e.safety, e.fingerprint, e.args, e.call_id,
       e.actor, e.state, e.fence, e.attempt, e.owner, e.lease_until, e.deadline_at, e.result, e.result_gap, e.error,
       e.created_at, e.updated_at, e.observed_at, e.audit_seq, e.audit_hash, e.joined, e.uncertain,
       e.spent, e.retry_from, e.retry_since, e.not_before, e.external_id, e.undoes
FROM (SELECT 1) AS one
LEFT JOIN holdfast_effect AS e ON e.tenant = %(tenant)s AND e.key = %(key)s;

-- name: list_effects
-- Newest first; a NULL parameter means any. The first line's condition, always true, admits the indexes for listings.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = %(tenant)s AND created_at > '-infinity'
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(tool)s::text IS NULL OR tool = %(tool)s)
  AND (%(intent)s::text IS NULL OR intent = %(intent)s)
  AND (%(state)s::holdfast_state IS NULL OR state = %(state)s::holdfast_state)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY created_at DESC, key DESC
LIMIT %(limit)s;

-- name: list_effects_outside
-- Those that the system outside knows by a name of its own, by its index.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = %(tenant)s AND external_id = %(external_id)s
  AND (%(state)s::holdfast_state IS NULL OR state = %(state)s::holdfast_state)
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(tool)s::text IS NULL OR tool = %(tool)s)
  AND (%(intent)s::text IS NULL OR intent = %(intent)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY created_at DESC, key DESC
LIMIT %(limit)s;

-- name: list_open_effects
-- The same for unfinished business, by its index.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = %(tenant)s AND open_state = %(state)s::holdfast_state
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(tool)s::text IS NULL OR tool = %(tool)s)
  AND (%(intent)s::text IS NULL OR intent = %(intent)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY created_at DESC, key DESC
LIMIT %(limit)s;

-- name: list_due_effects
-- What has waited longest first.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = %(tenant)s AND created_at > '-infinity'
  AND (%(state)s::holdfast_state IS NULL OR state = %(state)s::holdfast_state)
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(external_id)s::text IS NULL OR external_id = %(external_id)s)
  AND (%(tool)s::text IS NULL OR tool = %(tool)s)
  AND (%(intent)s::text IS NULL OR intent = %(intent)s)
  AND (%(due)s::timestamptz IS NULL OR not_before IS NULL OR not_before <= %(due)s)
  AND (%(lapsed)s::timestamptz IS NULL OR lease_until <= %(lapsed)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY coalesce(not_before, created_at), key
LIMIT %(limit)s;

-- name: list_due_open_effects
-- The same for unfinished business, by its index.
SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
       lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq, audit_hash,
       joined, uncertain, spent, retry_from, retry_since, not_before, external_id, undoes
FROM holdfast_effect
WHERE tenant = %(tenant)s AND open_state = %(state)s::holdfast_state
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(external_id)s::text IS NULL OR external_id = %(external_id)s)
  AND (%(tool)s::text IS NULL OR tool = %(tool)s)
  AND (%(intent)s::text IS NULL OR intent = %(intent)s)
  AND (%(due)s::timestamptz IS NULL OR not_before IS NULL OR not_before <= %(due)s)
  AND (%(lapsed)s::timestamptz IS NULL OR lease_until <= %(lapsed)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
  AND (%(key_prefix)s::text IS NULL OR starts_with(key, %(key_prefix)s))
ORDER BY coalesce(not_before, created_at), key
LIMIT %(limit)s;

-- name: count_effects
SELECT state, count(*) FROM holdfast_effect
WHERE tenant = %(tenant)s AND (%(before)s::timestamptz IS NULL OR updated_at < %(before)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
GROUP BY state;

-- name: get_trail
SELECT tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed
FROM holdfast_audit
WHERE tenant = %(tenant)s AND key = %(key)s
ORDER BY seq;

-- name: list_keys
-- Every effect, and every trail whose effect is gone, in the order of bytes. Each half stops at the limit by itself.
SELECT tenant, key FROM (
    (SELECT tenant, key FROM holdfast_effect
     WHERE (tenant, key) > (%(after_tenant)s, %(after_key)s)
       AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
     ORDER BY tenant, key
     LIMIT %(limit)s)
    UNION
    (SELECT DISTINCT tenant, key FROM holdfast_audit
     WHERE (tenant, key) > (%(after_tenant)s, %(after_key)s)
       AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
     ORDER BY tenant, key
     LIMIT %(limit)s)
) AS known
ORDER BY tenant, key
LIMIT %(limit)s;

-- name: get_workflow
SELECT tenant, workflow_id, status, open_reviews, updated_at, stopped, stopped_by
FROM holdfast_workflow
WHERE tenant = %(tenant)s AND workflow_id = %(workflow_id)s;

-- name: list_workflows
SELECT tenant, workflow_id, status, open_reviews, updated_at, stopped, stopped_by
FROM holdfast_workflow
WHERE tenant = %(tenant)s AND (%(status)s::holdfast_status IS NULL OR status = %(status)s::holdfast_status)
ORDER BY updated_at DESC, workflow_id DESC
LIMIT %(limit)s;

-- name: get_dependency
-- The clock first: it is told even when nothing is known of the dependency.
SELECT clock_timestamp(), d.tenant, d.name, d.version, d.state, d.retry_at, d.body, d.updated_at
FROM (SELECT 1) AS one
LEFT JOIN holdfast_dependency AS d ON d.tenant = %(tenant)s AND d.name = %(name)s;

-- name: list_dependencies
SELECT tenant, name, version, state, retry_at, body, updated_at
FROM holdfast_dependency
WHERE tenant = %(tenant)s
ORDER BY name;

-- name: put_dependency
-- Guard: the version on record is the one before. Statistics need not be durable.
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS off)
INSERT INTO holdfast_dependency AS d (tenant, name, version, state, retry_at, body, updated_at)
SELECT %(tenant)s, %(name)s, %(version)s::bigint, %(state)s::holdfast_breaker, %(retry_at)s::timestamptz, %(body)s,
       %(at)s::timestamptz
FROM lazily
WHERE lazily.off IS NOT NULL
  AND (%(version)s::bigint = 1 OR EXISTS (SELECT 1 FROM holdfast_dependency AS known
                                  WHERE known.tenant = %(tenant)s AND known.name = %(name)s))
ON CONFLICT (tenant, name) DO UPDATE
SET version = excluded.version, state = excluded.state, retry_at = excluded.retry_at, body = excluded.body,
    updated_at = excluded.updated_at
WHERE d.version = excluded.version - 1
RETURNING d.version;

-- name: put_signal
-- Guard: it is a new one.
INSERT INTO holdfast_signal (tenant, subject, id, outcome, body, received_at)
VALUES (%(tenant)s, %(subject)s, %(id)s, %(outcome)s::holdfast_evidence, %(body)s, %(received_at)s)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: list_signals
SELECT tenant, subject, id, outcome, body, received_at
FROM holdfast_signal
WHERE tenant = %(tenant)s AND subject = %(subject)s
ORDER BY received_at, id, outcome;

-- name: renew_leases
-- One statement for all live claims; one that was lost (fence, epoch) or ended (state, status) is not renewed, nor an
-- execution that gave up its place: paused, under a lease that has run out by the time its row is locked. The rows are
-- locked in the order in which batches lock them; one that is being written is left for the next time.
WITH lease AS MATERIALIZED (
    SELECT tenant, key, fence, is_execution
    FROM json_to_recordset(%(leases)s::json) AS wanted (tenant text, key text, fence bigint, is_execution boolean)
),
held AS (
    SELECT e.tenant, e.key, e.fence
    FROM holdfast_effect AS e
    JOIN lease ON e.tenant = lease.tenant AND e.key = lease.key
    WHERE NOT lease.is_execution AND e.fence = lease.fence AND e.state = 'pending'
    ORDER BY e.tenant, e.key
    FOR NO KEY UPDATE OF e SKIP LOCKED
),
effects AS (
    UPDATE holdfast_effect AS e
    SET lease_until = coalesce(%(now)s::timestamptz, clock_timestamp()) + %(lease_s)s * interval '1 second'
    FROM held
    WHERE e.tenant = held.tenant AND e.key = held.key
    RETURNING e.tenant, e.key, e.fence
),
held_executions AS (
    SELECT e.tenant, e.workflow_id, e.epoch
    FROM holdfast_execution AS e
    JOIN lease ON e.tenant = lease.tenant AND e.workflow_id = lease.key
    WHERE lease.is_execution AND e.epoch = lease.fence AND e.status = 'running'
    ORDER BY e.tenant, e.workflow_id
    FOR NO KEY UPDATE OF e SKIP LOCKED
),
executions AS (
    UPDATE holdfast_execution AS e
    SET lease_until = coalesce(%(now)s::timestamptz, clock_timestamp()) + %(lease_s)s * interval '1 second'
    FROM held_executions AS held
    WHERE e.tenant = held.tenant AND e.workflow_id = held.workflow_id
      AND (e.pause = '' OR e.lease_until > coalesce(%(now)s::timestamptz, clock_timestamp()))
    RETURNING e.tenant, e.workflow_id, e.epoch
)
SELECT tenant, key, fence, false FROM effects
UNION ALL
SELECT tenant, workflow_id, epoch, true FROM executions;

-- name: mark_joined
-- A hint for NOTIFY need not be durable: losing it costs a waiter one look.
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS off)
UPDATE holdfast_effect AS e
SET joined = true
FROM (
    SELECT f.tenant, f.key FROM holdfast_effect AS f, lazily
    WHERE f.tenant = %(tenant)s AND f.key = %(key)s AND f.state = 'pending' AND NOT f.joined AND lazily.off IS NOT NULL
    FOR NO KEY UPDATE OF f SKIP LOCKED
) AS free
WHERE e.tenant = free.tenant AND e.key = free.key;

-- name: reap_rest
-- Signals not of unfinished business, since they may be its only evidence, nor of what stopped a workflow, since they may be
-- why; and what is known of dependencies that nobody has called for as long: it is over, and their budgets are full again. And
-- executions that ended before then, with all that is theirs, but for those whose parent may yet ask for their end. Rows that
-- somebody holds are left for later.
WITH signals AS (
    DELETE FROM holdfast_signal
    WHERE (tenant, subject, id, outcome) IN (
        SELECT s.tenant, s.subject, s.id, s.outcome FROM holdfast_signal AS s
        WHERE s.tenant = %(tenant)s AND s.received_at < %(before)s
          AND NOT EXISTS (
              SELECT 1 FROM holdfast_effect AS e
              WHERE e.tenant = s.tenant AND e.key = s.subject
                AND e.state NOT IN ('succeeded', 'failed', 'denied', 'cancelled', 'compensated'))
          AND s.subject NOT IN (SELECT w.stopped_by FROM holdfast_workflow AS w
                                WHERE w.tenant = %(tenant)s AND w.stopped_by IS NOT NULL)
        LIMIT %(limit)s)
    RETURNING 1
),
dependencies AS (
    DELETE FROM holdfast_dependency
    WHERE (tenant, name) IN (
        SELECT d.tenant, d.name FROM holdfast_dependency AS d
        WHERE d.tenant = %(tenant)s AND d.state = 'closed' AND d.updated_at < %(before)s
        LIMIT %(limit)s)
    RETURNING 1
),
ended AS (
    SELECT e.tenant, e.workflow_id FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.status IN ('succeeded', 'failed', 'cancelled') AND e.ended_at < %(before)s
      AND NOT EXISTS (
          SELECT 1 FROM holdfast_execution AS p
          WHERE p.tenant = e.tenant AND p.workflow_id = e.parent AND p.ended_at IS NULL)
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
steps AS (
    DELETE FROM holdfast_step AS s USING ended WHERE s.tenant = ended.tenant AND s.workflow_id = ended.workflow_id
),
messages AS (
    DELETE FROM holdfast_message AS m USING ended WHERE m.tenant = ended.tenant AND m.workflow_id = ended.workflow_id
),
executions AS (
    DELETE FROM holdfast_execution AS e USING ended WHERE e.tenant = ended.tenant AND e.workflow_id = ended.workflow_id
    RETURNING 1
)
SELECT 1 FROM signals UNION ALL SELECT 1 FROM dependencies UNION ALL SELECT 1 FROM executions;

-- name: reap
-- Finished effects only: doubt and unfinished business are for people, and so is what stopped a workflow (for as long as
-- it is stopped); an execution that has not ended may yet ask for its effects. What was last touched long ago was made long ago
-- (give or take a clock), and that the index by time knows. Rows that somebody holds are left for later.
WITH old AS (
    SELECT tenant, key FROM holdfast_effect AS f
    WHERE tenant = %(tenant)s AND state IN ('succeeded', 'failed', 'denied', 'cancelled', 'compensated')
      AND updated_at < %(before)s
      AND created_at < %(before)s + interval '1 day' AND created_at > '-infinity'
      AND key NOT IN (SELECT w.stopped_by FROM holdfast_workflow AS w
                      WHERE w.tenant = %(tenant)s AND w.stopped_by IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM holdfast_execution AS x
                      WHERE x.tenant = f.tenant AND x.workflow_id = f.workflow_id AND x.ended_at IS NULL)
    ORDER BY created_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
trails AS (
    DELETE FROM holdfast_audit AS a USING old WHERE a.tenant = old.tenant AND a.key = old.key
)
DELETE FROM holdfast_effect AS e USING old WHERE e.tenant = old.tenant AND e.key = old.key
RETURNING e.key;
