-- name: remember
-- Guard: working memory is of a run that has not ended. One with the same id is replaced; what has expired is gone.
INSERT INTO holdfast_memory AS m (
    tenant, id, namespace, kind, workflow_id, body, words, tags, vector, created_at, updated_at, expires_at
)
SELECT %(tenant)s::text, %(id)s::text, %(namespace)s::text, %(kind)s::holdfast_memory_kind, %(workflow_id)s::text,
       %(body)s::text, %(words)s::tsvector, %(tags)s::text[], %(vector)s::text, %(created_at)s::timestamptz,
       %(updated_at)s::timestamptz, %(expires_at)s::timestamptz
WHERE %(kind)s::holdfast_memory_kind <> 'working' OR NOT EXISTS (
    SELECT 1 FROM holdfast_execution AS e
    WHERE e.tenant = %(tenant)s AND e.workflow_id = %(workflow_id)s AND e.ended_at IS NOT NULL)
ON CONFLICT (tenant, id) DO UPDATE
SET workflow_id = excluded.workflow_id, body = excluded.body, words = excluded.words, tags = excluded.tags,
    vector = excluded.vector, updated_at = excluded.updated_at, expires_at = excluded.expires_at,
    created_at = CASE WHEN m.expires_at <= excluded.updated_at THEN excluded.created_at ELSE m.created_at END
RETURNING m.tenant, m.namespace, m.id, m.kind, m.workflow_id, m.body, m.tags, m.vector, m.created_at, m.updated_at,
          m.expires_at;

-- name: list_memories
-- Newest first; a NULL parameter means any.
SELECT m.tenant, m.namespace, m.id, m.kind, m.workflow_id, m.body, m.tags, m.vector, m.created_at, m.updated_at,
       m.expires_at
FROM holdfast_memory AS m
WHERE m.tenant = %(tenant)s AND m.namespace = %(namespace)s
  AND (m.expires_at IS NULL OR m.expires_at > %(now)s)
  AND (%(kind)s::holdfast_memory_kind IS NULL OR m.kind = %(kind)s::holdfast_memory_kind)
  AND (%(workflow_id)s::text IS NULL OR m.workflow_id = %(workflow_id)s)
  AND (m.kind <> 'working' OR %(run)s::text IS NULL OR m.workflow_id = %(run)s)
  AND (m.kind <> 'working' OR NOT EXISTS (
      SELECT 1 FROM holdfast_execution AS e
      WHERE e.tenant = m.tenant AND e.workflow_id = m.workflow_id AND e.ended_at IS NOT NULL))
  AND (%(ids)s::text[] IS NULL OR m.id = ANY (%(ids)s::text[]))
  AND m.tags @> %(tags)s::text[]
ORDER BY m.updated_at DESC, m.number DESC
LIMIT %(limit)s;

-- name: search_memories
-- Best first: more of the words, more often, in a shorter text. The index is asked for the words within the namespace.
SELECT m.tenant, m.namespace, m.id, m.kind, m.workflow_id, m.body, m.tags, m.vector, m.created_at, m.updated_at,
       m.expires_at
FROM holdfast_memory AS m
WHERE m.words @@ (%(scope)s::tsquery && %(wanted)s::tsquery)
  AND m.tenant = %(tenant)s AND m.namespace = %(namespace)s
  AND (m.expires_at IS NULL OR m.expires_at > %(now)s)
  AND (%(kind)s::holdfast_memory_kind IS NULL OR m.kind = %(kind)s::holdfast_memory_kind)
  AND (%(workflow_id)s::text IS NULL OR m.workflow_id = %(workflow_id)s)
  AND (m.kind <> 'working' OR %(run)s::text IS NULL OR m.workflow_id = %(run)s)
  AND (m.kind <> 'working' OR NOT EXISTS (
      SELECT 1 FROM holdfast_execution AS e
      WHERE e.tenant = m.tenant AND e.workflow_id = m.workflow_id AND e.ended_at IS NOT NULL))
  AND (%(ids)s::text[] IS NULL OR m.id = ANY (%(ids)s::text[]))
  AND m.tags @> %(tags)s::text[]
ORDER BY ts_rank(m.words, %(wanted)s::tsquery, 1) DESC, m.updated_at DESC, m.number DESC
LIMIT %(limit)s;

-- name: forget
DELETE FROM holdfast_memory
WHERE tenant = %(tenant)s AND namespace = %(namespace)s AND id = %(id)s
RETURNING 1;

-- name: end_working_memory
DELETE FROM holdfast_memory
WHERE tenant = %(tenant)s AND namespace = %(namespace)s AND workflow_id = %(workflow_id)s AND kind = 'working'
RETURNING 1;

-- name: reap_memories
-- What has expired, and working memory of executions that ended before then.
WITH expired AS (
    DELETE FROM holdfast_memory
    WHERE (tenant, id) IN (
        SELECT m.tenant, m.id FROM holdfast_memory AS m
        WHERE m.tenant = %(tenant)s AND m.expires_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
        LIMIT %(limit)s)
    RETURNING 1
),
ended AS (
    DELETE FROM holdfast_memory
    WHERE (tenant, id) IN (
        SELECT m.tenant, m.id
        FROM holdfast_memory AS m
        JOIN holdfast_execution AS e ON e.tenant = m.tenant AND e.workflow_id = m.workflow_id
        WHERE m.tenant = %(tenant)s AND m.kind = 'working' AND e.ended_at < %(before)s
          -- One row is deleted by one of the two.
          AND (m.expires_at IS NULL OR m.expires_at > coalesce(%(now)s::timestamptz, statement_timestamp()))
        LIMIT %(limit)s)
    RETURNING 1
)
SELECT 1 FROM expired UNION ALL SELECT 1 FROM ended;

-- name: note_items
-- Guard: it is new, or moves to a higher list. Always in one order, so that of two who note the same one waits.
INSERT INTO holdfast_handoff AS h (tenant, project, id, section, rank, number, body, created_at, moved_at)
SELECT %(tenant)s::text, %(project)s::text, item.id, item.section, item.rank, item.number, item.body, item.created_at,
       item.moved_at
FROM json_to_recordset(%(items)s::json) AS item (
    id text, section holdfast_section, rank bigint, number bigint, body text, created_at timestamptz,
    moved_at timestamptz)
ORDER BY item.id
ON CONFLICT (tenant, project, id) DO UPDATE
SET section = excluded.section, rank = excluded.rank, number = excluded.number, body = excluded.body,
    moved_at = excluded.moved_at
WHERE excluded.rank > h.rank;

-- name: list_items
SELECT id, section, rank, number, body, created_at, moved_at
FROM holdfast_handoff
WHERE tenant = %(tenant)s AND project = %(project)s
ORDER BY moved_at, number, id;

-- name: strike_items
DELETE FROM holdfast_handoff
WHERE tenant = %(tenant)s AND project = %(project)s AND id = ANY (%(ids)s::text[])
RETURNING 1;
