-- name: view_workflows
-- What is known of each workflow, be it of its code, of its effects or of both; last touched first.
WITH flow AS (
    SELECT e.workflow_id, CASE WHEN w.status = 'needs_review' THEN w.status ELSE e.status END AS status, e.pause,
           e.pause_reason, e.waits_for, coalesce(w.open_reviews, 0) AS open_reviews, w.stopped, e.function, e.version,
           e.actor, e.queue, e.parent, 1 AS is_code, e.created_at,
           max(e.updated_at, coalesce(w.updated_at, e.updated_at)) AS updated_at
    FROM holdfast_execution AS e
    LEFT JOIN holdfast_workflow AS w ON w.tenant = e.tenant AND w.workflow_id = e.workflow_id
    WHERE e.tenant = :tenant
    UNION ALL
    SELECT w.workflow_id, w.status, '', '', '', w.open_reviews, w.stopped, '', '', '', '', '', 0, NULL, w.updated_at
    FROM holdfast_workflow AS w
    WHERE w.tenant = :tenant AND NOT EXISTS (
        SELECT 1 FROM holdfast_execution AS e WHERE e.tenant = w.tenant AND e.workflow_id = w.workflow_id)
)
SELECT workflow_id, status, pause, pause_reason, waits_for, open_reviews, stopped, function, version, actor, queue, is_code,
       created_at, updated_at
FROM flow
WHERE (:status IS NULL OR status = :status)
  AND (:function IS NULL OR function = :function)
  AND (:actor IS NULL OR actor = :actor)
  AND (:queue IS NULL OR (queue = :queue AND is_code))
  AND (:parent IS NULL OR (parent = :parent AND is_code))
  AND (NOT :is_paused OR pause <> '')
  AND (:since IS NULL OR updated_at >= :since)
  AND (:tool IS NULL OR EXISTS (
      SELECT 1 FROM holdfast_effect AS f
      WHERE f.tenant = :tenant AND f.workflow_id = flow.workflow_id AND f.tool = :tool))
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:words) AS word
      WHERE instr(flow.workflow_id, word.value) = 0 AND instr(flow.function, word.value) = 0)
  AND (:after_at IS NULL OR (updated_at, workflow_id) < (:after_at, :after_id))
ORDER BY updated_at DESC, workflow_id DESC
LIMIT :limit;

-- name: tally_workflows
-- The same, counted.
WITH flow AS (
    SELECT e.workflow_id, CASE WHEN w.status = 'needs_review' THEN w.status ELSE e.status END AS status, e.pause,
           e.pause_reason, e.waits_for, coalesce(w.open_reviews, 0) AS open_reviews, w.stopped, e.function, e.version,
           e.actor, e.queue, e.parent, 1 AS is_code, e.created_at,
           max(e.updated_at, coalesce(w.updated_at, e.updated_at)) AS updated_at
    FROM holdfast_execution AS e
    LEFT JOIN holdfast_workflow AS w ON w.tenant = e.tenant AND w.workflow_id = e.workflow_id
    WHERE e.tenant = :tenant
    UNION ALL
    SELECT w.workflow_id, w.status, '', '', '', w.open_reviews, w.stopped, '', '', '', '', '', 0, NULL, w.updated_at
    FROM holdfast_workflow AS w
    WHERE w.tenant = :tenant AND NOT EXISTS (
        SELECT 1 FROM holdfast_execution AS e WHERE e.tenant = w.tenant AND e.workflow_id = w.workflow_id)
)
SELECT status, pause <> '', count(*)
FROM flow
WHERE (:status IS NULL OR status = :status)
  AND (:function IS NULL OR function = :function)
  AND (:actor IS NULL OR actor = :actor)
  AND (:queue IS NULL OR (queue = :queue AND is_code))
  AND (:parent IS NULL OR (parent = :parent AND is_code))
  AND (NOT :is_paused OR pause <> '')
  AND (:since IS NULL OR updated_at >= :since)
  AND (:tool IS NULL OR EXISTS (
      SELECT 1 FROM holdfast_effect AS f
      WHERE f.tenant = :tenant AND f.workflow_id = flow.workflow_id AND f.tool = :tool))
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:words) AS word
      WHERE instr(flow.workflow_id, word.value) = 0 AND instr(flow.function, word.value) = 0)
GROUP BY 1, 2;

-- name: attention
-- Those that need a person, how many they are in all, and when the first question ends unanswered.
WITH flow AS (
    SELECT e.workflow_id, CASE WHEN w.status = 'needs_review' THEN w.status ELSE e.status END AS status, e.pause,
           e.pause_reason, e.waits_for, coalesce(w.open_reviews, 0) AS open_reviews, w.stopped, e.function, e.version,
           e.actor, e.queue, e.parent, 1 AS is_code, e.created_at,
           max(e.updated_at, coalesce(w.updated_at, e.updated_at)) AS updated_at
    FROM holdfast_execution AS e
    LEFT JOIN holdfast_workflow AS w ON w.tenant = e.tenant AND w.workflow_id = e.workflow_id
    WHERE e.tenant = :tenant
    UNION ALL
    SELECT w.workflow_id, w.status, '', '', '', w.open_reviews, w.stopped, '', '', '', '', '', 0, NULL, w.updated_at
    FROM holdfast_workflow AS w
    WHERE w.tenant = :tenant AND NOT EXISTS (
        SELECT 1 FROM holdfast_execution AS e WHERE e.tenant = w.tenant AND e.workflow_id = w.workflow_id)
),
needy AS (
    SELECT workflow_id, status, pause, pause_reason, waits_for, open_reviews, stopped, function, version, actor, queue, is_code,
           created_at, updated_at
    FROM flow
    WHERE status = 'needs_review' OR pause <> ''
),
first AS (
    SELECT * FROM needy ORDER BY updated_at DESC, workflow_id DESC LIMIT :limit
)
SELECT first.*, counts.in_review, counts.paused, counts.next_end
FROM (SELECT (SELECT count(*) FROM needy WHERE status = 'needs_review') AS in_review,
             (SELECT count(*) FROM needy WHERE pause <> '') AS paused,
             (SELECT min(a.expires_at) FROM holdfast_approval AS a
              WHERE a.tenant = :tenant AND a.state = 'pending') AS next_end) AS counts
LEFT JOIN first ON true
ORDER BY first.updated_at DESC, first.workflow_id DESC;

-- name: pulse
-- One look at the effects: by state, and by when they were made.
SELECT state, CASE WHEN created_at >= :since THEN (created_at - :since) / :width END, count(*)
FROM holdfast_effect
WHERE tenant = :tenant
GROUP BY 1, 2;

-- name: list_waiting
-- Which questions there are, without what they say.
SELECT id, version
FROM holdfast_approval
WHERE tenant = :tenant AND state = 'pending'
ORDER BY expires_at, id
LIMIT :limit;
