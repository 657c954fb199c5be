-- What a worker is given of a queue. Nobody sorts the queue: its index has the order, priority by priority, so that what
-- is asleep is passed by. Rows are locked as they are found, and no further than they are wanted; what others hold is
-- passed by as well.

-- name: dequeue
-- Without limits.
WITH RECURSIVE clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now),
dead AS MATERIALIZED (
    SELECT e.workflow_id, e.lease_until FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status = 'running' AND e.pause = ''
      AND e.lease_until <= coalesce(%(now)s::timestamptz, statement_timestamp())
      AND e.function = ANY (%(functions)s::text[])
    ORDER BY e.lease_until, e.workflow_id
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
),
level (priority) AS (
    (SELECT e.priority FROM holdfast_execution AS e
     WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
       AND e.pause = '' AND e.wake_at IS NOT NULL
     ORDER BY e.priority DESC
     LIMIT 1)
    UNION ALL
    SELECT (SELECT e.priority FROM holdfast_execution AS e
            WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
              AND e.pause = '' AND e.wake_at IS NOT NULL AND e.priority < level.priority
            ORDER BY e.priority DESC
            LIMIT 1)
    FROM level WHERE level.priority IS NOT NULL
),
due AS MATERIALIZED (
    SELECT level.priority, found.wake_at, found.workflow_id
    FROM level CROSS JOIN LATERAL (
        SELECT e.wake_at, e.workflow_id FROM holdfast_execution AS e
        WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
          AND e.pause = '' AND e.priority = level.priority
          AND e.wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
          AND e.function = ANY (%(functions)s::text[])
        ORDER BY e.wake_at, e.workflow_id
        LIMIT %(limit)s
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS found
    LIMIT %(limit)s - (SELECT count(*) FROM dead)
),
turn AS MATERIALIZED (
    SELECT workflow_id, true AS is_dead, 0 AS priority, lease_until AS since FROM dead
    UNION ALL
    SELECT workflow_id, false, priority, wake_at FROM due
),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = 'running',
        epoch = e.epoch + 1,
        owner = %(owner)s,
        lease_until = clock.now + %(lease_s)s::double precision * interval '1 second',
        crashes = e.crashes + (e.status = 'running')::integer,
        wake_at = NULL,
        waits_for = '',
        started_at = coalesce(e.started_at, clock.now),
        updated_at = %(at)s
    FROM clock
    WHERE e.tenant = %(tenant)s AND e.workflow_id = ANY (ARRAY(SELECT workflow_id FROM turn))
    RETURNING e.workflow_id, row_to_json(e) AS told
)
SELECT moved.told FROM moved JOIN turn USING (workflow_id)
ORDER BY turn.is_dead DESC, turn.priority DESC, turn.since, turn.workflow_id;

-- name: lock_queue
-- For the statement that follows in the same transaction: those who keep a queue's limits take turns, and each counts
-- what the one before has taken.
SELECT pg_advisory_xact_lock(
    hashtextextended(%(queue)s || chr(31) || %(tenant)s, 'holdfast_execution'::regclass::oid::bigint))
FROM (SELECT set_config('lock_timeout', '5s', true) AS patience OFFSET 0) AS patiently
WHERE patiently.patience <> '';

-- name: dequeue_within
-- The same within limits. First a look at what comes next; where limits leave too little of that, at what limits may have
-- left behind it: the first ones of each key, and those that were started before. What is paused under a lease that has
-- run out has no place: it is locked, so that nobody renews that lease and has the place as well; one that is being
-- written is counted. Nothing is locked, and no commit waits for the disk, while there is nothing to take.
WITH RECURSIVE clock AS MATERIALIZED (SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now),
dead AS MATERIALIZED (
    SELECT e.workflow_id, e.lease_until FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status = 'running' AND e.pause = ''
      AND e.lease_until <= coalesce(%(now)s::timestamptz, statement_timestamp())
      AND e.function = ANY (%(functions)s::text[])
    ORDER BY e.lease_until, e.workflow_id
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
),
level (priority) AS (
    (SELECT e.priority FROM holdfast_execution AS e
     WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
       AND e.pause = '' AND e.wake_at IS NOT NULL
     ORDER BY e.priority DESC
     LIMIT 1)
    UNION ALL
    SELECT (SELECT e.priority FROM holdfast_execution AS e
            WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
              AND e.pause = '' AND e.wake_at IS NOT NULL AND e.priority < level.priority
            ORDER BY e.priority DESC
            LIMIT 1)
    FROM level WHERE level.priority IS NOT NULL
),
running AS MATERIALIZED (
    SELECT e.workflow_id, e.limit_key,
           e.pause <> '' AND e.lease_until <= coalesce(%(now)s::timestamptz, statement_timestamp()) AS is_abandoned
    FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status = 'running'
),
ready AS MATERIALIZED (
    SELECT 1 FROM level CROSS JOIN LATERAL (
        SELECT 1 FROM holdfast_execution AS e
        WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
          AND e.pause = '' AND e.priority = level.priority
          AND e.wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
          AND e.function = ANY (%(functions)s::text[])
        ORDER BY e.wake_at, e.workflow_id
        LIMIT 1
    ) AS found
    WHERE EXISTS (SELECT 1 FROM running WHERE running.is_abandoned)
    LIMIT 1
),
abandoned AS MATERIALIZED (
    SELECT e.workflow_id FROM holdfast_execution AS e
    WHERE EXISTS (SELECT 1 FROM ready)
      AND e.tenant = %(tenant)s AND e.workflow_id = ANY (ARRAY(SELECT workflow_id FROM running WHERE is_abandoned))
      AND e.status = 'running' AND e.pause <> ''
      AND e.lease_until <= coalesce(%(now)s::timestamptz, statement_timestamp())
    FOR NO KEY UPDATE SKIP LOCKED
),
busy AS MATERIALIZED (
    SELECT running.limit_key, count(*) AS running FROM running
    WHERE running.workflow_id <> ALL (ARRAY(SELECT workflow_id FROM abandoned))
    GROUP BY running.limit_key
),
started AS MATERIALIZED (
    SELECT 1 FROM holdfast_execution AS e
    WHERE %(rate)s::bigint IS NOT NULL AND e.tenant = %(tenant)s AND e.queue = %(queue)s
      AND e.started_at > '-infinity'
      AND e.started_at > coalesce(%(now)s::timestamptz, statement_timestamp())
                         - %(rate_s)s::double precision * interval '1 second'
    LIMIT %(rate)s::bigint
),
room AS MATERIALIZED (
    SELECT greatest(least(%(limit)s - (SELECT count(*) FROM dead),
                          %(concurrency)s::bigint - (SELECT coalesce(sum(running), 0) FROM busy)), 0)::bigint AS wanted,
           %(rate)s::bigint - (SELECT count(*) FROM started) AS starts
),
near AS MATERIALIZED (
    SELECT level.priority, found.* FROM level CROSS JOIN LATERAL (
        SELECT e.wake_at, e.workflow_id, e.limit_key, e.started_at FROM holdfast_execution AS e
        WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
          AND e.pause = '' AND e.priority = level.priority
          AND e.wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
          AND e.function = ANY (%(functions)s::text[])
        ORDER BY e.wake_at, e.workflow_id
        LIMIT %(look)s
    ) AS found
    LIMIT (SELECT CASE WHEN room.wanted > 0 THEN %(look)s ELSE 0 END FROM room)
),
key (limit_key) AS (
    SELECT '' COLLATE "C"
    UNION ALL
    SELECT (SELECT e.limit_key FROM holdfast_execution AS e
            WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
              AND e.pause = '' AND e.wake_at IS NOT NULL AND e.limit_key > key.limit_key
            ORDER BY e.limit_key
            LIMIT 1)
    FROM key WHERE key.limit_key IS NOT NULL
),
far AS MATERIALIZED (
    SELECT found.* FROM (
        (SELECT level.priority, known.* FROM level CROSS JOIN LATERAL (
            SELECT e.wake_at, e.workflow_id, e.limit_key, e.started_at FROM holdfast_execution AS e
            WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
              AND e.pause = '' AND e.started_at IS NOT NULL AND e.priority = level.priority
              AND e.wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
              AND e.function = ANY (%(functions)s::text[])
              AND (%(per_key)s::bigint IS NULL OR e.limit_key = '')
            ORDER BY e.wake_at, e.workflow_id
            LIMIT (SELECT wanted FROM room)
         ) AS known
         WHERE %(rate)s::bigint IS NOT NULL
         LIMIT (SELECT wanted FROM room))
        UNION
        (SELECT first.* FROM key CROSS JOIN LATERAL (
            SELECT e.priority, e.wake_at, e.workflow_id, e.limit_key, e.started_at FROM holdfast_execution AS e
            WHERE e.tenant = %(tenant)s AND e.queue = %(queue)s AND e.status IN ('queued', 'waiting', 'needs_review')
              AND e.pause = '' AND e.limit_key = key.limit_key
              AND e.wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
              AND e.function = ANY (%(functions)s::text[])
            ORDER BY e.priority DESC, e.wake_at, e.workflow_id
            LIMIT CASE WHEN key.limit_key = '' THEN (SELECT wanted FROM room)
                       ELSE greatest(least(%(per_key)s::bigint - coalesce((SELECT busy.running FROM busy
                                                                           WHERE busy.limit_key = key.limit_key), 0),
                                           CASE WHEN %(rate)s::bigint IS NULL THEN (SELECT wanted FROM room) END), 0)
                  END
         ) AS first
         WHERE %(per_key)s::bigint IS NOT NULL)
    ) AS found
    WHERE NOT EXISTS (SELECT 1 FROM near WHERE near.workflow_id = found.workflow_id)
),
due AS MATERIALIZED (
    SELECT allowed.* FROM (VALUES (false), (true)) AS look (is_far)
    CROSS JOIN LATERAL (
        SELECT counted.priority, counted.wake_at, counted.workflow_id
        FROM (SELECT numbered.*,
                     count(*) FILTER (WHERE numbered.started_at IS NULL)
                     OVER (ORDER BY numbered.priority DESC, numbered.wake_at, numbered.workflow_id) AS nth_start
              FROM (SELECT found.*,
                           coalesce(busy.running, 0)
                           + row_number() OVER (PARTITION BY found.limit_key
                                                ORDER BY found.priority DESC, found.wake_at, found.workflow_id) AS nth_of_key
                    FROM (SELECT near.*, false AS is_far FROM near
                          UNION ALL
                          SELECT far.*, true FROM far WHERE look.is_far) AS found
                    LEFT JOIN busy ON busy.limit_key = found.limit_key) AS numbered
              WHERE %(per_key)s::bigint IS NULL OR numbered.limit_key = '' OR numbered.nth_of_key <= %(per_key)s::bigint
             ) AS counted
        WHERE counted.is_far = look.is_far
          AND (%(rate)s::bigint IS NULL OR counted.started_at IS NOT NULL
               OR counted.nth_start <= (SELECT starts FROM room))
        ORDER BY counted.priority DESC, counted.wake_at, counted.workflow_id
    ) AS allowed
    WHERE NOT look.is_far OR (SELECT count(*) FROM near) = %(look)s
    LIMIT (SELECT wanted FROM room)
),
held AS MATERIALIZED (
    SELECT e.workflow_id FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = ANY (ARRAY(SELECT workflow_id FROM due))
      AND e.status IN ('queued', 'waiting', 'needs_review') AND e.pause = ''
      AND e.wake_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
    FOR NO KEY UPDATE SKIP LOCKED
),
turn AS MATERIALIZED (
    SELECT workflow_id, true AS is_dead, 0 AS priority, lease_until AS since FROM dead
    UNION ALL
    SELECT due.workflow_id, false, due.priority, due.wake_at FROM due JOIN held USING (workflow_id)
),
moved AS (
    UPDATE holdfast_execution AS e
    SET status = 'running',
        epoch = e.epoch + 1,
        owner = %(owner)s,
        lease_until = clock.now + %(lease_s)s::double precision * interval '1 second',
        crashes = e.crashes + (e.status = 'running')::integer,
        wake_at = NULL,
        waits_for = '',
        started_at = coalesce(e.started_at, clock.now),
        updated_at = %(at)s
    FROM clock
    WHERE e.tenant = %(tenant)s AND e.workflow_id = ANY (ARRAY(SELECT workflow_id FROM turn))
    RETURNING e.workflow_id, row_to_json(e) AS told
)
SELECT moved.told FROM moved JOIN turn USING (workflow_id)
ORDER BY turn.is_dead DESC, turn.priority DESC, turn.since, turn.workflow_id;
