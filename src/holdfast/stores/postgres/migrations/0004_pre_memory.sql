-- What agents note outside of their context: memories, and the lists that one session hands to the next.
CREATE TYPE holdfast_memory_kind AS ENUM ('working', 'episodic', 'semantic', 'procedural');
CREATE TYPE holdfast_section AS ENUM ('next', 'in_progress', 'done', 'decisions');

CREATE TABLE holdfast_memory (
    tenant       text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    number       bigint GENERATED ALWAYS AS IDENTITY,  -- tells apart what was noted at one moment
    namespace    text COLLATE "C" NOT NULL,
    kind         holdfast_memory_kind NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    body         text NOT NULL,
    words        tsvector NOT NULL,
    tags         text[] NOT NULL,
    vector       text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    PRIMARY KEY (tenant, id),
    CONSTRAINT holdfast_memory_of_a_run CHECK (workflow_id <> '' OR kind IN ('semantic', 'procedural'))
);

CREATE INDEX holdfast_memory_newest ON holdfast_memory (tenant, namespace, updated_at);
CREATE INDEX holdfast_memory_run ON holdfast_memory (tenant, workflow_id) WHERE kind = 'working';
CREATE INDEX holdfast_memory_expiry ON holdfast_memory (tenant, expires_at) WHERE expires_at IS NOT NULL;

-- Among the words is one that all memories of a namespace have, and no others: it takes the index to these at once.
CREATE INDEX holdfast_memory_words ON holdfast_memory USING gin (words);

-- Whether working memory is over is looked up in the execution: it must not outlive it, whoever deletes that.
CREATE FUNCTION holdfast_drop_working_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM holdfast_memory WHERE tenant = old.tenant AND workflow_id = old.workflow_id AND kind = 'working';
    RETURN NULL;
END $$;

CREATE TRIGGER holdfast_execution_dropped AFTER DELETE ON holdfast_execution
    FOR EACH ROW EXECUTE FUNCTION holdfast_drop_working_memory();

CREATE TABLE holdfast_handoff (
    tenant      text COLLATE "C" NOT NULL,
    project     text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    section     holdfast_section NOT NULL,
    rank        holdfast_count NOT NULL,
    number      holdfast_count NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL,
    moved_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant, project, id)
);
