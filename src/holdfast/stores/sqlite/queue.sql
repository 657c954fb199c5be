-- SQLite takes the primary key for whatever begins with the tenant, unless it is told which index serves a statement.

-- name: list_dead_in_queue
-- What dead workers left, by the end of their leases.
SELECT workflow_id, epoch, limit_key, started_at IS NULL
FROM holdfast_execution INDEXED BY holdfast_execution_running
WHERE tenant = :tenant AND queue = :queue AND status = 'running'
  AND lease_until <= :now AND pause = ''
  AND function IN (SELECT value FROM json_each(:functions))
ORDER BY lease_until, workflow_id
LIMIT :limit;

-- name: next_priority_in_queue
-- The highest one that anything has that is due now or later; with the next statement, no sort of all that is due.
SELECT max(priority)
FROM holdfast_execution INDEXED BY holdfast_execution_due
WHERE tenant = :tenant AND queue = :queue AND priority <= :most
  AND status IN ('queued', 'waiting', 'needs_review') AND pause = '' AND wake_at IS NOT NULL;

-- name: list_due_in_queue
-- Of one priority, what has been due longest first: as the index has it. What the rule leaves out in any case is not
-- among them.
SELECT workflow_id, epoch, limit_key, started_at IS NULL
FROM holdfast_execution INDEXED BY holdfast_execution_due
WHERE tenant = :tenant AND queue = :queue AND priority = :most
  AND status IN ('queued', 'waiting', 'needs_review') AND pause = '' AND wake_at <= :now
  AND function IN (SELECT value FROM json_each(:functions))
  AND limit_key NOT IN (SELECT value FROM json_each(:full_keys))
  AND (:may_start OR started_at IS NOT NULL)
ORDER BY wake_at, workflow_id;

-- name: count_running_in_queue
-- One whose worker is dead has its place until it is taken; but not while nobody may take it.
SELECT limit_key, count(*)
FROM holdfast_execution INDEXED BY holdfast_execution_running
WHERE tenant = :tenant AND queue = :queue AND status = 'running' AND (pause = '' OR lease_until > :now)
GROUP BY limit_key;

-- name: count_started_in_queue
SELECT count(*)
FROM holdfast_execution INDEXED BY holdfast_execution_started
WHERE tenant = :tenant AND queue = :queue AND started_at > :since;

-- name: put_halt
INSERT INTO holdfast_halt (tenant, actor, reason, at)
VALUES (:tenant, :actor, :reason, :at)
ON CONFLICT (tenant, actor) DO UPDATE
SET reason = :reason, at = :at;

-- name: halt_executions
-- Those that are paused for another reason stay as they are.
UPDATE holdfast_execution INDEXED BY holdfast_execution_open
SET pause = 'halted', pause_reason = :reason, updated_at = :at
WHERE tenant = :tenant AND ended_at IS NULL AND pause = '' AND (:actor = '' OR actor = :actor)
RETURNING workflow_id;

-- name: delete_halt
DELETE FROM holdfast_halt WHERE tenant = :tenant AND actor = :actor;

-- name: unhalt_executions
-- Those that a halt stopped and that none holds any more. Whoever waits is due at once, and so is one whose worker's
-- lease has run out: it gave up its place.
UPDATE holdfast_execution INDEXED BY holdfast_execution_open
SET news = news + 1,
    status = CASE WHEN status = 'running' AND lease_until <= :now THEN 'queued' ELSE status END,
    owner = CASE WHEN status = 'running' AND lease_until <= :now THEN '' ELSE owner END,
    wake_at = CASE WHEN status <> 'running' OR lease_until <= :now THEN :now ELSE wake_at END,
    pause = '',
    pause_reason = '',
    crashes = 0,
    updated_at = :at
WHERE tenant = :tenant AND ended_at IS NULL AND pause = 'halted' AND (:actor = '' OR actor = :actor)
  AND NOT EXISTS (SELECT 1 FROM holdfast_halt AS h
                  WHERE h.tenant = :tenant AND h.actor IN (holdfast_execution.actor, ''))
RETURNING workflow_id, queue, status IN ('queued', 'waiting', 'needs_review');

-- name: list_halts
SELECT tenant, actor, reason, at
FROM holdfast_halt
WHERE tenant = :tenant
ORDER BY actor;
