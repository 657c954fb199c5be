-- What agents note outside of their context: memories, and the lists that one session hands to the next.
CREATE TABLE holdfast_memory (
    number       INTEGER PRIMARY KEY,  -- what the index of words knows it by
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    namespace    TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('working', 'episodic', 'semantic', 'procedural')),
    workflow_id  TEXT NOT NULL CHECK (workflow_id <> '' OR kind IN ('semantic', 'procedural')),
    body         TEXT NOT NULL,
    tags         TEXT NOT NULL,  -- a list in JSON
    vector       TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX holdfast_memory_newest ON holdfast_memory (tenant, namespace, updated_at);
CREATE INDEX holdfast_memory_run ON holdfast_memory (tenant, workflow_id) WHERE kind = 'working';
CREATE INDEX holdfast_memory_expiry ON holdfast_memory (tenant, expires_at) WHERE expires_at IS NOT NULL;

-- The words of all memories. They are cut before they come here (letters and digits, in lower case), so the tokenizer has
-- nothing left to do but to part them at the spaces.
CREATE VIRTUAL TABLE holdfast_memory_words USING fts5 (words, tokenize = 'ascii');

-- Whether working memory is over is looked up in the execution: it must not outlive it, whoever deletes that.
CREATE TRIGGER holdfast_execution_dropped AFTER DELETE ON holdfast_execution BEGIN
    UPDATE holdfast_memory SET expires_at = 0
    WHERE tenant = old.tenant AND workflow_id = old.workflow_id AND kind = 'working';
END;

CREATE TABLE holdfast_handoff (
    tenant      TEXT NOT NULL,
    project     TEXT NOT NULL,
    id          TEXT NOT NULL,
    section     TEXT NOT NULL CHECK (section IN ('next', 'in_progress', 'done', 'decisions')),
    rank        INTEGER NOT NULL CHECK (rank >= 0),
    number      INTEGER NOT NULL CHECK (number >= 0),
    body        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    moved_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, project, id)
) STRICT, WITHOUT ROWID;
