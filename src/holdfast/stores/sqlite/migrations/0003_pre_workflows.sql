-- Durable executions: a row per workflow that runs as code, a row per step of it, a row per signal to it. They stand
-- beside the effects, which know nothing of them.
CREATE TABLE holdfast_execution (
    tenant       TEXT NOT NULL,
    workflow_id  TEXT NOT NULL,
    function     TEXT NOT NULL,
    version      TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'succeeded', 'failed',
                                                 'needs_review', 'cancelled')),
    input        TEXT NOT NULL,
    output       TEXT,
    error        TEXT,
    actor        TEXT NOT NULL,
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),  -- grows whenever somebody takes it (I3)
    owner        TEXT NOT NULL,
    lease_until  INTEGER NOT NULL,
    crashes      INTEGER NOT NULL CHECK (crashes >= 0),
    wake_at      INTEGER,
    waits_for    TEXT NOT NULL,
    messages     INTEGER NOT NULL CHECK (messages >= 0),
    is_paused    INTEGER NOT NULL CHECK (is_paused BETWEEN 0 AND 1),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    ended_at     INTEGER CHECK ((ended_at IS NULL) = (status NOT IN ('succeeded', 'failed', 'cancelled'))),
    PRIMARY KEY (tenant, workflow_id)
) STRICT, WITHOUT ROWID;

-- What somebody has to work on, now or later. Neither index has a column that a step changes.
CREATE INDEX holdfast_execution_open ON holdfast_execution (tenant, status, wake_at) WHERE ended_at IS NULL;

-- For listings of what has ended, which was last touched when it ended.
CREATE INDEX holdfast_execution_ended ON holdfast_execution (tenant, status, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE holdfast_step (
    tenant       TEXT NOT NULL,
    workflow_id  TEXT NOT NULL,
    name         TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    occurrence   INTEGER NOT NULL CHECK (occurrence >= 0),
    kind         TEXT NOT NULL CHECK (kind IN ('step', 'effect', 'sleep', 'wait', 'value', 'gate')),
    state        TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    position     INTEGER CHECK (position >= 1),  -- which end it is of all that the code was told
    attempt      INTEGER NOT NULL CHECK (attempt >= 0),
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    args         TEXT,
    result       TEXT,
    error        TEXT,
    due_at       INTEGER,
    effect       TEXT,  -- the key of the effect that it was answered from
    PRIMARY KEY (tenant, workflow_id, name, fingerprint, occurrence)
) STRICT, WITHOUT ROWID;

CREATE TABLE holdfast_message (
    tenant       TEXT NOT NULL,
    workflow_id  TEXT NOT NULL,
    id           TEXT NOT NULL,
    number       INTEGER NOT NULL CHECK (number >= 1),
    name         TEXT NOT NULL,
    body         TEXT NOT NULL,
    received_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, workflow_id, id)
) STRICT, WITHOUT ROWID;
