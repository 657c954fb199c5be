-- Each statement that writes answers with the database's clock, whether it was applied, the row as it is then, and what
-- rings in this process as well as in the others.

-- name: begin_execution
-- Guard: its workflow has none, and its parent room for it. Without an owner, or while its actor is halted, it is queued.
-- No row told, and no siblings that leave no room: a racing one won, look again.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
found AS MATERIALIZED (
    SELECT row_to_json(e) AS told FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s
),
halt AS MATERIALIZED (
    SELECT of.reason, of.reason IS NULL AND %(owner)s::text <> '' AS is_held
    FROM (SELECT holdfast_halt_of_v1(%(tenant)s, %(actor)s) AS reason OFFSET 0) AS of
),
crowd AS MATERIALIZED (
    SELECT CASE WHEN %(fan_out)s::bigint IS NOT NULL AND %(parent)s::text <> '' AND NOT EXISTS (SELECT 1 FROM found)
                THEN holdfast_siblings_v1(%(tenant)s, %(parent)s, %(workflow_id)s) END AS siblings
),
begun AS (
    INSERT INTO holdfast_execution AS e (
        tenant, workflow_id, function, version, status, input, actor, queue, priority, limit_key, parent, on_failure,
        trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason, is_cancelled,
        deadline_at, started_at, created_at, updated_at, purses)
    SELECT %(tenant)s::text, %(workflow_id)s::text, %(function)s::text, %(version)s::text,
           (CASE WHEN halt.is_held THEN 'running' ELSE 'queued' END)::holdfast_status, %(input)s::text, %(actor)s::text,
           %(queue)s::text, %(priority)s::bigint, %(limit_key)s::text, %(parent)s::text, %(on_failure)s::text,
           %(trace)s::text, halt.is_held::integer, CASE WHEN halt.is_held THEN %(owner)s::text ELSE '' END,
           CASE WHEN halt.is_held THEN clock.now + %(lease_s)s::double precision * interval '1 second'
                ELSE clock.now END,
           0, CASE WHEN NOT halt.is_held THEN coalesce(%(start_at)s::timestamptz, clock.now) END, '', 0,
           (CASE WHEN halt.reason IS NULL THEN '' ELSE 'halted' END)::holdfast_pause, coalesce(halt.reason, ''), false,
           clock.now + %(deadline_s)s::double precision * interval '1 second', CASE WHEN halt.is_held THEN clock.now END,
           %(at)s::timestamptz, %(at)s::timestamptz, %(purses)s::text
    FROM clock, halt, crowd
    WHERE NOT EXISTS (SELECT 1 FROM found) AND (crowd.siblings IS NULL OR crowd.siblings < %(fan_out)s::bigint)
    ON CONFLICT DO NOTHING
    RETURNING row_to_json(e) AS told, e.status = 'queued' AND e.pause = '' AS is_free, e.wake_at
)
SELECT clock.now, begun.told IS NOT NULL, coalesce(begun.told, found.told),
       ARRAY(SELECT holdfast_ring_v1(%(due)s::text || %(queue)s::text) WHERE begun.is_free AND begun.wake_at <= clock.now),
       CASE WHEN crowd.siblings >= %(fan_out)s::bigint THEN crowd.siblings END
FROM clock CROSS JOIN crowd LEFT JOIN found ON true LEFT JOIN begun ON true;

-- name: take_execution
-- Guard: nobody works on it, or a lease has run out; it is at the epoch that the writer saw, and not paused. The lock
-- comes first: what is told when the guard fails is the row that a racing writer has left, not the one before.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
found AS MATERIALIZED (
    SELECT e.* FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s
    FOR NO KEY UPDATE
),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = 'running',
        epoch = found.epoch + 1,
        owner = %(owner)s,
        lease_until = clock.now + %(lease_s)s::double precision * interval '1 second',
        crashes = found.crashes + (found.status = 'running')::integer,
        wake_at = NULL,
        waits_for = '',
        started_at = coalesce(found.started_at, clock.now),
        updated_at = %(at)s
    FROM found, clock
    WHERE e.tenant = found.tenant AND e.workflow_id = found.workflow_id
      AND found.epoch = %(epoch)s::bigint AND found.pause = ''
      AND (found.status IN ('queued', 'waiting', 'needs_review')
           OR (found.status = 'running' AND found.lease_until <= clock.now))
    RETURNING row_to_json(e) AS told
)
SELECT clock.now, moved.told IS NOT NULL, coalesce(moved.told, row_to_json(found)), '{}'::text[]
FROM clock LEFT JOIN found ON true LEFT JOIN moved ON true;

-- name: progress
-- Guard (I3): the writer has the epoch, and knows of all news if it must. The steps come from the row that was moved:
-- there are none without it. One that is on record under its place is replaced, but one that has ended by none that has
-- not: what was given up as lost may be applied late. Who ends it wakes its parent: both rows are locked in one order for
-- everybody; a parent is never changed, so it may be looked up before that. That a step has begun need not survive the
-- machine. A lease that ran out while it is paused stays so, its place is another one's by now; that is asked with the
-- row in hand, which whoever counts places may have held.
WITH clock AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now,
           CASE WHEN %(is_note)s THEN set_config('synchronous_commit', 'off', true) END AS lazily
),
held AS MATERIALIZED (
    SELECT e.* FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s
      AND e.workflow_id = ANY (ARRAY[
              %(workflow_id)s,
              (SELECT child.parent FROM holdfast_execution AS child
               WHERE child.tenant = %(tenant)s AND child.workflow_id = %(workflow_id)s AND %(ends)s)])
    ORDER BY e.workflow_id
    FOR NO KEY UPDATE
),
found AS MATERIALIZED (SELECT * FROM held WHERE held.workflow_id = %(workflow_id)s),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = coalesce(%(to)s::holdfast_status, found.status),
        output = CASE WHEN %(leaves)s THEN %(output)s::text ELSE found.output END,
        error = CASE WHEN %(leaves)s THEN %(error)s::text ELSE found.error END,
        owner = CASE WHEN %(leaves)s THEN '' ELSE found.owner END,
        lease_until = CASE WHEN NOT %(leaves)s AND found.pause <> ''
                            AND found.lease_until <= coalesce(%(now)s::timestamptz, clock_timestamp())
                           THEN found.lease_until
                           ELSE clock.now + %(lease_s)s::double precision * interval '1 second' END,
        crashes = CASE WHEN %(comes_further)s THEN 0 ELSE found.crashes END,
        wake_at = CASE WHEN %(leaves)s THEN %(wake_at)s::timestamptz ELSE found.wake_at END,
        waits_for = CASE WHEN %(leaves)s THEN %(waits_for)s::text ELSE found.waits_for END,
        pause = CASE WHEN %(ends)s THEN '' ELSE coalesce(%(pause)s::holdfast_pause, found.pause) END,
        pause_reason = CASE WHEN %(ends)s THEN found.pause_reason
                            ELSE coalesce(%(pause_reason)s::text, found.pause_reason) END,
        updated_at = %(at)s::timestamptz,
        ended_at = CASE WHEN %(ends)s THEN %(at)s::timestamptz END
    FROM found, clock
    WHERE e.tenant = found.tenant AND e.workflow_id = found.workflow_id
      AND found.epoch = %(epoch)s::bigint AND found.status = 'running'
      AND (%(seen)s::bigint IS NULL OR found.news = %(seen)s::bigint)
    RETURNING e.tenant, e.workflow_id, e.queue, e.parent, row_to_json(e) AS told,
              e.status IN ('queued', 'waiting', 'needs_review') AND e.pause = '' AND e.wake_at <= clock.now AS is_due
),
kept AS (
    INSERT INTO holdfast_step (
        tenant, workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args,
        result, error, due_at, effect, child)
    SELECT moved.tenant, moved.workflow_id, step.name, step.fingerprint, step.occurrence, step.kind, step.state,
           step.position, step.attempt, step.started_at, step.ended_at, step.args, step.result, step.error, step.due_at,
           step.effect, step.child
    FROM moved CROSS JOIN json_to_recordset(%(steps)s::json) AS step (
        name text, fingerprint text, occurrence bigint, kind holdfast_step_kind, state holdfast_step_state,
        position bigint, attempt bigint, started_at timestamptz, ended_at timestamptz, args text, result text,
        error text, due_at timestamptz, effect text, child text)
    ON CONFLICT (tenant, workflow_id, name, fingerprint, occurrence) DO UPDATE
    SET kind = excluded.kind, state = excluded.state, position = excluded.position, attempt = excluded.attempt,
        started_at = excluded.started_at, ended_at = excluded.ended_at, args = excluded.args, result = excluded.result,
        error = excluded.error, due_at = excluded.due_at, effect = excluded.effect, child = excluded.child
    WHERE holdfast_step.position IS NULL OR excluded.position IS NOT NULL
),
woken AS (
    UPDATE holdfast_execution AS e
    SET news = e.news + 1,
        wake_at = CASE WHEN e.status = 'running' THEN e.wake_at ELSE clock.now END,
        updated_at = %(at)s
    FROM moved, clock
    WHERE %(ends)s AND moved.parent <> '' AND e.tenant = moved.tenant AND e.workflow_id = moved.parent
      AND e.ended_at IS NULL
    RETURNING e.queue, e.status <> 'running' AND e.pause = '' AS is_due
)
SELECT clock.now, moved.told IS NOT NULL, coalesce(moved.told, row_to_json(found)),
       ARRAY(SELECT holdfast_ring_v1(told.bell)
             FROM (SELECT %(left)s::text WHERE %(leaves)s AND moved.told IS NOT NULL
                   UNION ALL SELECT %(due)s::text || moved.queue WHERE moved.is_due
                   UNION ALL SELECT %(due)s::text || woken.queue FROM woken WHERE woken.is_due) AS told (bell))
FROM clock LEFT JOIN found ON true LEFT JOIN moved ON true;

-- name: keep_step
-- The same for one step of an execution that goes on, which is what most of them are. What is told is what others may have
-- changed of the row; no row told: somebody else has it, or nobody.
WITH clock AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now,
           CASE WHEN %(is_note)s THEN set_config('synchronous_commit', 'off', true) END AS lazily
),
moved AS (
    UPDATE holdfast_execution AS e
    SET lease_until = CASE WHEN e.pause <> '' AND e.lease_until <= coalesce(%(now)s::timestamptz, clock_timestamp())
                           THEN e.lease_until
                           ELSE clock.now + %(lease_s)s::double precision * interval '1 second' END,
        crashes = CASE WHEN %(comes_further)s THEN 0 ELSE e.crashes END,
        updated_at = %(at)s::timestamptz
    FROM clock
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s AND e.epoch = %(epoch)s::bigint
      AND e.status = 'running'
    RETURNING e.tenant, e.workflow_id, clock.now, e.lease_until, e.crashes::bigint, e.news::bigint, e.pause::text,
              e.pause_reason, e.is_cancelled
),
kept AS (
    INSERT INTO holdfast_step (
        tenant, workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args,
        result, error, due_at, effect, child)
    SELECT moved.tenant, moved.workflow_id, %(name)s, %(fingerprint)s, %(occurrence)s::bigint,
           %(kind)s::holdfast_step_kind, %(state)s::holdfast_step_state, %(position)s::bigint, %(attempt)s::bigint,
           %(started_at)s::timestamptz, %(ended_at)s::timestamptz, %(args)s::text, %(result)s::text, %(error)s::text,
           %(due_at)s::timestamptz, %(effect)s::text, %(child)s::text
    FROM moved
    ON CONFLICT (tenant, workflow_id, name, fingerprint, occurrence) DO UPDATE
    SET kind = excluded.kind, state = excluded.state, position = excluded.position, attempt = excluded.attempt,
        started_at = excluded.started_at, ended_at = excluded.ended_at, args = excluded.args, result = excluded.result,
        error = excluded.error, due_at = excluded.due_at, effect = excluded.effect, child = excluded.child
    WHERE holdfast_step.position IS NULL OR excluded.position IS NOT NULL
)
SELECT now, lease_until, crashes, news, pause, pause_reason, is_cancelled FROM moved;

-- name: send
-- Guard: there is an execution that has not ended. A signal that was kept before changes nothing; of two senders at once
-- the second waits for the row, and finds the first one's. Whoever waits is due at once.
WITH clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
found AS MATERIALIZED (
    SELECT e.* FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s
    FOR NO KEY UPDATE
),
kept AS (
    INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
    SELECT found.tenant, found.workflow_id, %(id)s::text, found.news + 1, %(name)s::text, %(body)s::text,
           %(at)s::timestamptz
    FROM found
    WHERE found.status NOT IN ('succeeded', 'failed', 'cancelled')
    ON CONFLICT DO NOTHING
    RETURNING number
),
moved AS (
    UPDATE holdfast_execution AS e
    SET news = kept.number,
        wake_at = CASE WHEN found.status = 'running' THEN found.wake_at ELSE clock.now END,
        updated_at = %(at)s::timestamptz
    FROM found, kept, clock
    WHERE e.tenant = found.tenant AND e.workflow_id = found.workflow_id
    RETURNING row_to_json(e) AS told, e.queue, e.status <> 'running' AND e.pause = '' AS is_due
)
SELECT clock.now, coalesce(found.status NOT IN ('succeeded', 'failed', 'cancelled'), false),
       coalesce(moved.told, row_to_json(found)),
       ARRAY(SELECT holdfast_ring_v1(%(due)s::text || moved.queue) WHERE moved.is_due),
       moved.told IS NOT NULL
FROM clock LEFT JOIN found ON true LEFT JOIN moved ON true;

-- name: get_journal
-- All of one execution at one moment: itself, its steps in the order in which the code was told of their ends, the
-- effects that steps were answered from, the children that steps wait for, its signals.
WITH step AS MATERIALIZED (
    SELECT s.* FROM holdfast_step AS s
    WHERE s.tenant = %(tenant)s AND s.workflow_id = %(workflow_id)s
      AND (s.position IS NULL OR s.position > %(after)s::bigint)
)
SELECT clock_timestamp(), row_to_json(e),
       (SELECT json_agg(s ORDER BY s.position, s.name, s.fingerprint, s.occurrence) FROM step AS s),
       (SELECT json_agg(f)
        FROM (SELECT DISTINCT step.effect FROM step WHERE step.effect IS NOT NULL) AS known
        JOIN holdfast_effect AS f ON f.tenant = %(tenant)s AND f.key = known.effect),
       (SELECT json_agg(c)
        FROM (SELECT DISTINCT step.child FROM step WHERE step.child IS NOT NULL AND step.position IS NULL) AS known
        JOIN holdfast_execution AS c ON c.tenant = %(tenant)s AND c.workflow_id = known.child),
       (SELECT json_agg(m ORDER BY m.number)
        FROM holdfast_message AS m
        WHERE m.tenant = %(tenant)s AND m.workflow_id = %(workflow_id)s)
FROM holdfast_execution AS e
WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s;

-- name: list_executions
-- Last touched first; a NULL parameter means any.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = %(tenant)s
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(status)s::holdfast_status IS NULL OR status = %(status)s::holdfast_status)
  AND (%(functions)s::text[] IS NULL OR function = ANY (%(functions)s::text[]))
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(parent)s::text IS NULL OR parent = %(parent)s)
  AND (%(is_paused)s::boolean IS NULL OR (pause <> '') = %(is_paused)s::boolean)
ORDER BY updated_at DESC, workflow_id DESC
LIMIT %(limit)s;

-- name: list_ended_executions
-- The same for a status that is an end, by its index.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = %(tenant)s AND status = %(status)s::holdfast_status AND ended_at IS NOT NULL
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(functions)s::text[] IS NULL OR function = ANY (%(functions)s::text[]))
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(parent)s::text IS NULL OR parent = %(parent)s)
  AND (%(is_paused)s::boolean IS NULL OR (pause <> '') = %(is_paused)s::boolean)
ORDER BY ended_at DESC, workflow_id DESC
LIMIT %(limit)s;

-- name: list_due_executions
-- What somebody should work on: what has waited longest first. A stable clock, so that the index knows where to end.
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = %(tenant)s AND ended_at IS NULL AND pause = ''
  AND ((status IN ('queued', 'waiting', 'needs_review')
        AND wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp()))
       OR (status = 'running' AND lease_until <= coalesce(%(now)s::timestamptz, statement_timestamp())))
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(status)s::holdfast_status IS NULL OR status = %(status)s::holdfast_status)
  AND (%(functions)s::text[] IS NULL OR function = ANY (%(functions)s::text[]))
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(parent)s::text IS NULL OR parent = %(parent)s)
  AND %(is_paused)s::boolean IS NOT TRUE
ORDER BY coalesce(wake_at, lease_until), workflow_id
LIMIT %(limit)s;
