-- name: get_execution
SELECT tenant, workflow_id, function, version, status, input, output, error, actor, queue, priority, limit_key, parent,
       on_failure, trace, epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason,
       is_cancelled, deadline_at, started_at, created_at, updated_at, ended_at, purses
FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id = :workflow_id;

-- name: begin_execution
-- Guard: its workflow has none, and its parent room for it. Without an owner it is queued, and due; so it is while its actor is halted, and paused.
INSERT INTO holdfast_execution (
    tenant, workflow_id, function, version, status, input, actor, queue, priority, limit_key, parent, on_failure, trace,
    epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason, is_cancelled, deadline_at,
    started_at, created_at, updated_at, purses
)
SELECT :tenant, :workflow_id, :function, :version, CASE WHEN held THEN 'running' ELSE 'queued' END, :input, :actor,
       :queue, :priority, :limit_key, :parent, :on_failure, :trace, held, CASE WHEN held THEN :owner ELSE '' END,
       CASE WHEN held THEN :lease_until ELSE :now END, 0, CASE WHEN NOT held THEN coalesce(:start_at, :now) END, '', 0,
       CASE WHEN halt IS NULL THEN '' ELSE 'halted' END, coalesce(halt, ''), 0, :deadline_at,
       CASE WHEN held THEN :now END, :at, :at, :purses
FROM (SELECT halt, :owner <> '' AND halt IS NULL AS held
      FROM (SELECT (SELECT reason FROM holdfast_halt WHERE tenant = :tenant AND actor IN (:actor, '')
                    ORDER BY actor = '' LIMIT 1) AS halt))
WHERE :fan_out IS NULL OR :parent = ''
   OR :fan_out > (SELECT count(*) FROM holdfast_execution WHERE tenant = :tenant AND parent = :parent AND ended_at IS NULL)
ON CONFLICT DO NOTHING;

-- name: count_siblings
-- How many children of a workflow have not ended.
SELECT count(*) FROM holdfast_execution WHERE tenant = :tenant AND parent = :parent AND ended_at IS NULL;

-- name: fork_execution
-- Guard: its workflow has none; the source has, and it is as it was read if its texts were sealed anew. Queued and due;
-- paused while its actor is halted.
INSERT INTO holdfast_execution (
    tenant, workflow_id, function, version, status, input, actor, queue, priority, limit_key, parent, on_failure, trace,
    epoch, owner, lease_until, crashes, wake_at, waits_for, news, pause, pause_reason, is_cancelled, created_at,
    updated_at, purses
)
SELECT tenant, :workflow_id, function, version, 'queued', coalesce(:input, input), actor, queue, priority, limit_key, '', on_failure, '',
       0, '', :now, 0, :now, '', news, CASE WHEN halt IS NULL THEN '' ELSE 'halted' END, coalesce(halt, ''), 0, :at, :at, purses
FROM (SELECT *, (SELECT h.reason FROM holdfast_halt AS h WHERE h.tenant = e.tenant AND h.actor IN (e.actor, '')
                 ORDER BY h.actor = '' LIMIT 1) AS halt
      FROM holdfast_execution AS e
      WHERE tenant = :tenant AND workflow_id = :source
        AND (:input IS NULL
             OR (epoch = :epoch AND news = :news
                 AND :count = (SELECT count(*) FROM holdfast_step AS s
                               WHERE s.tenant = :tenant AND s.workflow_id = :source AND s.position <= :keep))))
WHERE true
ON CONFLICT DO NOTHING;

-- name: fork_steps
INSERT INTO holdfast_step (
    tenant, workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args,
    result, error, due_at, effect, child
)
SELECT tenant, :workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args,
       result, error, due_at, effect, child
FROM holdfast_step
WHERE tenant = :tenant AND workflow_id = :source AND position <= :keep;

-- name: fork_messages
INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
SELECT tenant, :workflow_id, id, number, name, body, received_at
FROM holdfast_message
WHERE tenant = :tenant AND workflow_id = :source;

-- name: put_message
INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
VALUES (:tenant, :workflow_id, :id, :number, :name, :body, :received_at);

-- name: restart_execution
-- Guard: it has ended otherwise than well, at the epoch that the writer saw. Paused while its actor is halted.
UPDATE holdfast_execution
SET status = 'queued',
    output = NULL,
    error = NULL,
    crashes = 0,
    wake_at = :now,
    waits_for = '',
    pause = CASE WHEN EXISTS (SELECT 1 FROM holdfast_halt AS h
                              WHERE h.tenant = :tenant AND h.actor IN (holdfast_execution.actor, ''))
                 THEN 'halted' ELSE '' END,
    pause_reason = coalesce((SELECT h.reason FROM holdfast_halt AS h
                             WHERE h.tenant = :tenant AND h.actor IN (holdfast_execution.actor, '')
                             ORDER BY h.actor = '' LIMIT 1), ''),
    is_cancelled = 0,
    deadline_at = :deadline_at,
    updated_at = :at,
    ended_at = NULL
WHERE tenant = :tenant AND workflow_id = :workflow_id AND epoch = :epoch AND status IN ('failed', 'cancelled');

-- name: forget_steps
DELETE FROM holdfast_step
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND (position > :keep OR (position IS NULL AND kind = 'step'));

-- name: take_execution
-- Guard: nobody works on it, or a lease has run out; it is at the epoch that the writer saw, and not paused.
UPDATE holdfast_execution
SET status = 'running',
    epoch = epoch + 1,
    owner = :owner,
    lease_until = :lease_until,
    crashes = crashes + (status = 'running'),
    wake_at = NULL,
    waits_for = '',
    started_at = coalesce(started_at, :now),
    updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND epoch = :epoch AND pause = ''
  AND (status IN ('queued', 'waiting', 'needs_review') OR (status = 'running' AND lease_until <= :now));

-- name: progress
-- Guard (I3): the writer has the epoch, and knows of all news if it must. Its steps are written only after it. A lease
-- that ran out while it is paused stays so: its place is another one's by now.
UPDATE holdfast_execution
SET status = coalesce(:to, status),
    output = CASE WHEN :leaves THEN :output ELSE output END,
    error = CASE WHEN :leaves THEN :error ELSE error END,
    owner = CASE WHEN :leaves THEN '' ELSE owner END,
    lease_until = CASE WHEN NOT :leaves AND pause <> '' AND lease_until <= :now THEN lease_until ELSE :lease_until END,
    crashes = CASE WHEN :comes_further THEN 0 ELSE crashes END,
    wake_at = CASE WHEN :leaves THEN :wake_at ELSE wake_at END,
    waits_for = coalesce(:waits_for, waits_for),
    pause = CASE WHEN :to IN ('succeeded', 'failed', 'cancelled') THEN '' ELSE coalesce(:pause, pause) END,
    pause_reason = CASE WHEN :pause IS NULL OR :to IN ('succeeded', 'failed', 'cancelled') THEN pause_reason
                        ELSE :pause_reason END,
    updated_at = :at,
    ended_at = CASE WHEN :to IN ('succeeded', 'failed', 'cancelled') THEN :at END
WHERE tenant = :tenant AND workflow_id = :workflow_id
  AND epoch = :epoch AND status = 'running'
  AND (:seen IS NULL OR news = :seen);

-- name: keep_step
-- One that is on record under its place is replaced; not one that has ended by one that has not.
INSERT INTO holdfast_step (
    tenant, workflow_id, name, fingerprint, occurrence, kind, state, position, attempt, started_at, ended_at, args,
    result, error, due_at, effect, child
)
VALUES (
    :tenant, :workflow_id, :name, :fingerprint, :occurrence, :kind, :state, :position, :attempt, :started_at, :ended_at,
    :args, :result, :error, :due_at, :effect, :child
)
ON CONFLICT (tenant, workflow_id, name, fingerprint, occurrence) DO UPDATE
SET kind = :kind, state = :state, position = :position, attempt = :attempt, started_at = :started_at,
    ended_at = :ended_at, args = :args, result = :result, error = :error, due_at = :due_at, effect = :effect,
    child = :child
WHERE position IS NULL OR :position IS NOT NULL;

-- name: send
-- Guard: there is an execution that has not ended, and the signal is a new one.
INSERT INTO holdfast_message (tenant, workflow_id, id, number, name, body, received_at)
SELECT tenant, workflow_id, :id, news + 1, :name, :body, :at
FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id = :workflow_id AND status NOT IN ('succeeded', 'failed', 'cancelled')
ON CONFLICT DO NOTHING;

-- name: wake_execution
-- Something happened that it may wait for. Guard: it has not ended. Whoever waits is due at once.
UPDATE holdfast_execution
SET news = news + 1,
    wake_at = CASE WHEN status IN ('queued', 'waiting', 'needs_review') THEN :now ELSE wake_at END,
    updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: pause_execution
-- Guard: it has not ended. Its queue's order does not change.
UPDATE holdfast_execution
SET pause = 'paused', pause_reason = :reason, updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: resume_execution
-- Guard: it has not ended. Whyever it was paused; whoever waits is due at once, and so is one whose worker's lease has
-- run out meanwhile: it gave up its place.
UPDATE holdfast_execution
SET news = news + 1,
    status = CASE WHEN status = 'running' AND pause <> '' AND lease_until <= :now THEN 'queued' ELSE status END,
    owner = CASE WHEN status = 'running' AND pause <> '' AND lease_until <= :now THEN '' ELSE owner END,
    wake_at = CASE WHEN status <> 'running' OR (pause <> '' AND lease_until <= :now) THEN :now ELSE wake_at END,
    pause = '',
    pause_reason = '',
    crashes = 0,
    updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: cancel_execution
-- Guard: it has not ended. It ends at once when nobody works on it and its code is not needed for that. One whose
-- worker's lease has run out while it was paused is ended by whoever takes it from its queue.
UPDATE holdfast_execution
SET status = CASE WHEN status IN ('queued', 'waiting', 'needs_review') AND on_failure = 'leave' THEN 'cancelled'
                  WHEN status = 'running' AND pause <> '' AND lease_until <= :now THEN 'queued'
                  ELSE status END,
    owner = CASE WHEN status = 'running' AND pause <> '' AND lease_until <= :now THEN '' ELSE owner END,
    ended_at = CASE WHEN status IN ('queued', 'waiting', 'needs_review') AND on_failure = 'leave' THEN :at END,
    wake_at = CASE WHEN status = 'running' AND (pause = '' OR lease_until > :now) THEN wake_at
                   WHEN status <> 'running' AND on_failure = 'leave' THEN NULL ELSE :now END,
    waits_for = CASE WHEN status IN ('queued', 'waiting', 'needs_review') AND on_failure = 'leave' THEN ''
                     ELSE waits_for END,
    news = news + 1,
    pause = '',
    pause_reason = :reason,
    is_cancelled = 1,
    updated_at = :at
WHERE tenant = :tenant AND workflow_id = :workflow_id AND status NOT IN ('succeeded', 'failed', 'cancelled');

-- name: renew_executions
-- One statement for all; one that was taken by somebody else (epoch) or left (status) is not renewed, nor one that gave
-- up its place.
UPDATE holdfast_execution
SET lease_until = :lease_until
WHERE status = 'running' AND (pause = '' OR lease_until > :now)
  AND (tenant, workflow_id, epoch) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:leases))
RETURNING tenant, workflow_id, epoch;

-- name: reap_executions
-- Those that ended before then. One whose parent has not ended stays: it may yet ask how it ended.
DELETE FROM holdfast_execution
WHERE tenant = :tenant AND workflow_id IN (
    SELECT e.workflow_id FROM holdfast_execution AS e INDEXED BY holdfast_execution_ended
    WHERE e.tenant = :tenant AND e.status IN ('succeeded', 'failed', 'cancelled') AND e.ended_at IS NOT NULL
      AND e.ended_at < :before
      AND (e.parent = '' OR NOT EXISTS (SELECT 1 FROM holdfast_execution AS p
                                        WHERE p.tenant = :tenant AND p.workflow_id = e.parent AND p.ended_at IS NULL))
    LIMIT :limit)
RETURNING workflow_id;

-- name: delete_steps
DELETE FROM holdfast_step WHERE tenant = :tenant AND workflow_id = :workflow_id;

-- name: delete_messages
DELETE FROM holdfast_message WHERE tenant = :tenant AND workflow_id = :workflow_id;
