-- name: remember
-- Guard: working memory is of a run that has not ended. One with the same id is replaced; what has expired is gone.
INSERT INTO holdfast_memory (
    tenant, id, namespace, kind, workflow_id, body, tags, vector, created_at, updated_at, expires_at
)
SELECT :tenant, :id, :namespace, :kind, :workflow_id, :body, :tags, :vector, :created_at, :updated_at, :expires_at
WHERE :kind <> 'working' OR NOT EXISTS (
    SELECT 1 FROM holdfast_execution AS e
    WHERE e.tenant = :tenant AND e.workflow_id = :workflow_id AND e.ended_at IS NOT NULL)
ON CONFLICT (tenant, id) DO UPDATE
SET workflow_id = excluded.workflow_id, body = excluded.body, tags = excluded.tags, vector = excluded.vector,
    updated_at = excluded.updated_at, expires_at = excluded.expires_at,
    created_at = CASE WHEN expires_at <= excluded.updated_at THEN excluded.created_at ELSE created_at END
RETURNING tenant, namespace, id, kind, workflow_id, body, tags, vector, created_at, updated_at, expires_at, number;

-- name: index_memory
INSERT OR REPLACE INTO holdfast_memory_words (rowid, words) VALUES (:number, :words);

-- name: unindex_memory
DELETE FROM holdfast_memory_words WHERE rowid = ?;

-- name: list_memories
-- Newest first; a NULL parameter means any.
SELECT tenant, namespace, id, kind, workflow_id, body, tags, vector, created_at, updated_at, expires_at
FROM holdfast_memory AS m
WHERE tenant = :tenant AND namespace = :namespace
  AND (expires_at IS NULL OR expires_at > :now)
  AND (:kind IS NULL OR kind = :kind)
  AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (kind <> 'working' OR :run IS NULL OR workflow_id = :run)
  AND (kind <> 'working' OR NOT EXISTS (
      SELECT 1 FROM holdfast_execution AS e
      WHERE e.tenant = m.tenant AND e.workflow_id = m.workflow_id AND e.ended_at IS NOT NULL))
  AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:tags) AS wanted
      WHERE wanted.value NOT IN (SELECT has.value FROM json_each(m.tags) AS has))
ORDER BY updated_at DESC, number DESC
LIMIT :limit;

-- name: search_memories
-- Best first, as bm25 ranks them: rare words count more than frequent ones.
SELECT m.tenant, m.namespace, m.id, m.kind, m.workflow_id, m.body, m.tags, m.vector, m.created_at, m.updated_at,
       m.expires_at
FROM holdfast_memory_words AS w
JOIN holdfast_memory AS m ON m.number = w.rowid
WHERE w.words MATCH :wanted
  AND m.tenant = :tenant AND m.namespace = :namespace
  AND (m.expires_at IS NULL OR m.expires_at > :now)
  AND (:kind IS NULL OR m.kind = :kind)
  AND (:workflow_id IS NULL OR m.workflow_id = :workflow_id)
  AND (m.kind <> 'working' OR :run IS NULL OR m.workflow_id = :run)
  AND (m.kind <> 'working' OR NOT EXISTS (
      SELECT 1 FROM holdfast_execution AS e
      WHERE e.tenant = m.tenant AND e.workflow_id = m.workflow_id AND e.ended_at IS NOT NULL))
  AND (:ids IS NULL OR m.id IN (SELECT value FROM json_each(:ids)))
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:tags) AS wanted
      WHERE wanted.value NOT IN (SELECT has.value FROM json_each(m.tags) AS has))
ORDER BY w.rank, m.updated_at DESC, m.number DESC
LIMIT :limit;

-- name: forget
DELETE FROM holdfast_memory WHERE tenant = :tenant AND namespace = :namespace AND id = :id
RETURNING number;

-- name: end_working_memory
DELETE FROM holdfast_memory
WHERE tenant = :tenant AND namespace = :namespace AND workflow_id = :workflow_id AND kind = 'working'
RETURNING number;

-- name: reap_expired_memories
DELETE FROM holdfast_memory
WHERE number IN (
    SELECT number FROM holdfast_memory WHERE tenant = :tenant AND expires_at <= :now LIMIT :limit)
RETURNING number;

-- name: reap_working_memory
DELETE FROM holdfast_memory
WHERE number IN (
    SELECT m.number
    FROM holdfast_memory AS m
    JOIN holdfast_execution AS e ON e.tenant = m.tenant AND e.workflow_id = m.workflow_id
    WHERE m.tenant = :tenant AND m.kind = 'working' AND e.ended_at < :before
    LIMIT :limit)
RETURNING number;

-- name: note_item
-- Guard: it is new, or moves to a higher list.
INSERT INTO holdfast_handoff (tenant, project, id, section, rank, number, body, created_at, moved_at)
VALUES (:tenant, :project, :id, :section, :rank, :number, :body, :created_at, :moved_at)
ON CONFLICT (tenant, project, id) DO UPDATE
SET section = excluded.section, rank = excluded.rank, number = excluded.number, body = excluded.body,
    moved_at = excluded.moved_at
WHERE excluded.rank > rank;

-- name: list_items
SELECT id, section, rank, number, body, created_at, moved_at
FROM holdfast_handoff
WHERE tenant = :tenant AND project = :project
ORDER BY moved_at, number, id;

-- name: strike_items
DELETE FROM holdfast_handoff
WHERE tenant = :tenant AND project = :project AND id IN (SELECT value FROM json_each(:ids));
