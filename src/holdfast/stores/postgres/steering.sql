-- What people want of executions. The answers are those of executions.sql.

-- name: steer_execution
-- Guard: there is one that has not ended. Who ends it wakes its parent: the locks are those of `progress`. One that was
-- paused and whose worker's lease has run out gave up its place: it is queued for another one. That is asked with the row
-- in hand, which whoever counts places may have held.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
held AS MATERIALIZED (
    SELECT e.* FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s
      AND e.workflow_id = ANY (ARRAY[
              %(workflow_id)s,
              (SELECT child.parent FROM holdfast_execution AS child
               WHERE child.tenant = %(tenant)s AND child.workflow_id = %(workflow_id)s AND %(to)s = 'cancel')])
    ORDER BY e.workflow_id
    FOR NO KEY UPDATE
),
found AS MATERIALIZED (
    SELECT held.*, %(to)s = 'cancel' AND held.status <> 'running' AND held.on_failure = 'leave' AS ends,
           %(to)s <> 'pause' AND held.status = 'running' AND held.pause <> ''
           AND held.lease_until <= coalesce(%(now)s::timestamptz, clock_timestamp()) AS requeues
    FROM held WHERE held.workflow_id = %(workflow_id)s
),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = CASE WHEN found.ends THEN 'cancelled' WHEN found.requeues THEN 'queued' ELSE found.status END,
        owner = CASE WHEN found.requeues THEN '' ELSE found.owner END,
        crashes = CASE WHEN %(to)s = 'resume' THEN 0 ELSE found.crashes END,
        wake_at = CASE WHEN found.ends THEN NULL
                       WHEN %(to)s = 'pause' OR (found.status = 'running' AND NOT found.requeues) THEN found.wake_at
                       ELSE clock.now END,
        waits_for = CASE WHEN found.ends THEN '' ELSE found.waits_for END,
        news = found.news + (%(to)s <> 'pause')::integer,
        pause = (CASE WHEN %(to)s = 'pause' THEN 'paused' ELSE '' END)::holdfast_pause,
        pause_reason = CASE WHEN %(to)s = 'resume' THEN '' ELSE %(reason)s::text END,
        is_cancelled = found.is_cancelled OR %(to)s = 'cancel',
        updated_at = %(at)s::timestamptz,
        ended_at = CASE WHEN found.ends THEN %(at)s::timestamptz END
    FROM found, clock
    WHERE e.tenant = found.tenant AND e.workflow_id = found.workflow_id
      AND found.status NOT IN ('succeeded', 'failed', 'cancelled')
    RETURNING e.tenant, e.queue, CASE WHEN found.ends THEN e.parent ELSE '' END AS parent, row_to_json(e) AS told,
              found.ends, e.status IN ('queued', 'waiting', 'needs_review') AND e.pause = ''
                          AND e.wake_at <= clock.now AS is_due
),
woken AS (
    UPDATE holdfast_execution AS e
    SET news = e.news + 1,
        wake_at = CASE WHEN e.status = 'running' THEN e.wake_at ELSE clock.now END,
        updated_at = %(at)s
    FROM moved, clock
    WHERE moved.parent <> '' AND e.tenant = moved.tenant AND e.workflow_id = moved.parent AND e.ended_at IS NULL
    RETURNING e.queue, e.status <> 'running' AND e.pause = '' AS is_due
)
SELECT clock.now, moved.told IS NOT NULL, coalesce(moved.told, row_to_json(found)),
       ARRAY(SELECT holdfast_ring_v1(told.bell)
             FROM (SELECT %(left)s::text WHERE moved.ends
                   UNION ALL SELECT %(due)s::text || moved.queue WHERE moved.is_due
                   UNION ALL SELECT %(due)s::text || woken.queue FROM woken WHERE woken.is_due) AS told (bell))
FROM clock LEFT JOIN found ON true LEFT JOIN moved ON true;

-- name: restart_execution
-- Guard: it has ended otherwise than well, at the epoch that the writer saw. Whether its actor is halted is asked before
-- the row is locked: who halts locks rows afterwards. An actor is never changed.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
halt AS MATERIALIZED (
    SELECT holdfast_halt_of_v1(e.tenant, e.actor) AS reason FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s
),
found AS MATERIALIZED (
    SELECT e.* FROM halt, holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s
    FOR NO KEY UPDATE OF e
),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = 'queued',
        output = NULL,
        error = NULL,
        crashes = 0,
        wake_at = clock.now,
        waits_for = '',
        pause = (CASE WHEN halt.reason IS NULL THEN '' ELSE 'halted' END)::holdfast_pause,
        pause_reason = coalesce(halt.reason, ''),
        is_cancelled = false,
        deadline_at = clock.now + %(deadline_s)s::double precision * interval '1 second',
        updated_at = %(at)s,
        ended_at = NULL
    FROM found, clock, halt
    WHERE e.tenant = found.tenant AND e.workflow_id = found.workflow_id
      AND found.epoch = %(epoch)s::bigint AND found.status IN ('failed', 'cancelled')
    RETURNING e.tenant, e.workflow_id, e.queue, row_to_json(e) AS told, e.pause = '' AS is_due
),
forgotten AS (
    DELETE FROM holdfast_step AS s USING moved
    WHERE s.tenant = moved.tenant AND s.workflow_id = moved.workflow_id
      AND (s.position > %(keep)s::bigint OR (s.position IS NULL AND s.kind = 'step'))
)
SELECT clock.now, moved.told IS NOT NULL, coalesce(moved.told, row_to_json(found)),
       ARRAY(SELECT holdfast_ring_v1(%(due)s::text || moved.queue) WHERE moved.is_due)
FROM clock LEFT JOIN found ON true LEFT JOIN moved ON true;

-- name: fork_execution
-- Guard: its workflow has none, and the source has one; if its texts were sealed anew, that is as it was read. All of the
-- source is read at one moment. No row told although there is such a source: a racing one won, look again.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
found AS MATERIALIZED (
    SELECT row_to_json(e) AS told FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s
),
source AS MATERIALIZED (
    SELECT e.*, holdfast_halt_of_v1(e.tenant, e.actor) AS halt FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(source)s
      AND (%(epoch)s::bigint IS NULL
           OR (e.epoch = %(epoch)s::bigint AND e.news = %(news)s::bigint
               AND %(count)s::bigint = (SELECT count(*) FROM holdfast_step AS s
                                        WHERE s.tenant = %(tenant)s AND s.workflow_id = %(source)s
                                          AND s.position <= %(keep)s::bigint)))
),
begun AS (
    INSERT INTO holdfast_execution AS e (
        tenant, workflow_id, function, version, status, input, actor, queue, priority, limit_key, parent, on_failure,
        trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason, is_cancelled,
        created_at, updated_at, purses)
    SELECT source.tenant, %(workflow_id)s::text, source.function, source.version, 'queued',
           coalesce(%(input)s::text, source.input), source.actor,
           source.queue, source.priority, source.limit_key, '', source.on_failure, '', 0, '', clock.now, 0, clock.now, '',
           source.news, (CASE WHEN source.halt IS NULL THEN '' ELSE 'halted' END)::holdfast_pause,
           coalesce(source.halt, ''), false, %(at)s::timestamptz, %(at)s::timestamptz, source.purses
    FROM clock, source
    WHERE NOT EXISTS (SELECT 1 FROM found)
    ON CONFLICT DO NOTHING
    RETURNING e.tenant, e.workflow_id, e.queue, row_to_json(e) AS told, e.pause = '' AS is_due
),
steps AS (
    INSERT INTO holdfast_step (
        tenant, workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args,
        result, error, due_at, effect, child)
    SELECT begun.tenant, begun.workflow_id, s.name, s.fingerprint, s.occurrence, s.kind, s.state, s.position, s.attempt,
           s.started_at, s.ended_at, s.args, s.result, s.error, s.due_at, s.effect, s.child
    FROM begun
    JOIN holdfast_step AS s ON s.tenant = begun.tenant AND s.workflow_id = %(source)s AND s.position <= %(keep)s::bigint
    WHERE %(epoch)s::bigint IS NULL
    UNION ALL
    SELECT begun.tenant, begun.workflow_id, own.name, own.fingerprint, own.occurrence, own.kind, own.state, own.position,
           own.attempt, own.started_at, own.ended_at, own.args, own.result, own.error, own.due_at, own.effect, own.child
    FROM begun CROSS JOIN json_to_recordset(%(steps)s::json) AS own (
        name text, fingerprint text, occurrence bigint, kind holdfast_step_kind, state holdfast_step_state,
        position bigint, attempt bigint, started_at timestamptz, ended_at timestamptz, args text, result text,
        error text, due_at timestamptz, effect text, child text)
),
messages AS (
    INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
    SELECT begun.tenant, begun.workflow_id, m.id, m.number, m.name, m.body, m.received_at
    FROM begun
    JOIN holdfast_message AS m ON m.tenant = begun.tenant AND m.workflow_id = %(source)s
    WHERE %(epoch)s::bigint IS NULL
    UNION ALL
    SELECT begun.tenant, begun.workflow_id, own.id, own.number, own.name, own.body, own.received_at
    FROM begun CROSS JOIN json_to_recordset(%(messages)s::json) AS own (
        id text, number bigint, name text, body text, received_at timestamptz)
)
SELECT clock.now, begun.told IS NOT NULL, coalesce(begun.told, found.told),
       ARRAY(SELECT holdfast_ring_v1(%(due)s::text || begun.queue) WHERE begun.is_due),
       EXISTS (SELECT 1 FROM source)
FROM clock LEFT JOIN found ON true LEFT JOIN begun ON true;

-- name: lock_halts
-- For the statement that follows in the same transaction: who halts an actor, or lets it go on, waits for those who
-- begin an execution of it, which the statement then sees, and they wait for him. Halts of one tenant take turns: each
-- has to know of the others.
SELECT pg_advisory_xact_lock(lock.id)
FROM (SELECT set_config('lock_timeout', '5s', true) AS patience OFFSET 0) AS patiently,
     LATERAL (SELECT unnest(ARRAY[hashtextextended(%(tenant)s, 'holdfast_halt'::regclass::oid::bigint),
                                  holdfast_halt_lock_v1(%(tenant)s, %(actor)s)]) AS id
              OFFSET 0) AS lock
WHERE patiently.patience <> '';

-- name: halt_executions
-- Those that are paused for another reason stay as they are. Rows are locked in one order for everybody.
WITH halt AS (
    INSERT INTO holdfast_halt (tenant, actor, reason, at)
    VALUES (%(tenant)s, %(actor)s, %(reason)s, %(at)s)
    ON CONFLICT (tenant, actor) DO UPDATE SET reason = excluded.reason, at = excluded.at
),
concerned AS MATERIALIZED (
    SELECT e.workflow_id FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.ended_at IS NULL AND e.pause = ''
      AND (%(actor)s = '' OR e.actor = %(actor)s)
    ORDER BY e.workflow_id
    FOR NO KEY UPDATE
),
moved AS (
    UPDATE holdfast_execution AS e
    SET pause = 'halted', pause_reason = %(reason)s, updated_at = %(at)s
    FROM concerned
    WHERE e.tenant = %(tenant)s AND e.workflow_id = concerned.workflow_id
    RETURNING e.workflow_id
)
SELECT ARRAY(SELECT moved.workflow_id FROM moved ORDER BY moved.workflow_id), '{}'::text[];

-- name: unhalt_executions
-- Those that another halt holds stay as they are. Whoever goes on is due at once; one whose worker's lease has run out
-- gave up its place, and is queued for another one: that is asked with the row in hand, as by `steer_execution`.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
halt AS (
    DELETE FROM holdfast_halt WHERE tenant = %(tenant)s AND actor = %(actor)s
),
concerned AS MATERIALIZED (
    SELECT e.workflow_id, e.status, e.lease_until FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.ended_at IS NULL AND e.pause = 'halted'
      AND (%(actor)s = '' OR e.actor = %(actor)s)
      AND NOT EXISTS (SELECT 1 FROM holdfast_halt AS other
                      WHERE other.tenant = e.tenant AND other.actor IN ('', e.actor) AND other.actor <> %(actor)s)
    ORDER BY e.workflow_id
    FOR NO KEY UPDATE OF e
),
judged AS MATERIALIZED (
    SELECT workflow_id, status = 'running' AND lease_until > coalesce(%(now)s::timestamptz, clock_timestamp()) AS is_held
    FROM concerned
),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = CASE WHEN e.status = 'running' AND NOT judged.is_held THEN 'queued' ELSE e.status END,
        owner = CASE WHEN judged.is_held THEN e.owner ELSE '' END,
        crashes = 0,
        wake_at = CASE WHEN judged.is_held THEN e.wake_at ELSE clock.now END,
        news = e.news + 1,
        pause = '',
        pause_reason = '',
        updated_at = %(at)s
    FROM judged, clock
    WHERE e.tenant = %(tenant)s AND e.workflow_id = judged.workflow_id
    RETURNING e.workflow_id, e.queue, e.status <> 'running' AS is_due
)
SELECT ARRAY(SELECT moved.workflow_id FROM moved ORDER BY moved.workflow_id),
       ARRAY(SELECT holdfast_ring_v1(%(due)s::text || due.queue)
             FROM (SELECT DISTINCT moved.queue FROM moved WHERE moved.is_due) AS due);

-- name: list_halts
SELECT tenant, actor, reason, at FROM holdfast_halt WHERE tenant = %(tenant)s ORDER BY actor;
