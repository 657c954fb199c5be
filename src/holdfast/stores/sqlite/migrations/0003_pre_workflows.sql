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
    queue        TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    limit_key    TEXT NOT NULL,
    parent       TEXT NOT NULL,
    on_failure   TEXT NOT NULL,
    trace        TEXT NOT NULL,
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),  -- grows whenever somebody takes it (I3)
    owner        TEXT NOT NULL,
    lease_until  INTEGER NOT NULL,
    crashes      INTEGER NOT NULL CHECK (crashes >= 0),
    wake_at      INTEGER,
    waits_for    TEXT NOT NULL,
    news         INTEGER NOT NULL CHECK (news >= 0),
    pause        TEXT NOT NULL CHECK (pause IN ('', 'paused', 'halted', 'dead_letter', 'diverged')),
    pause_reason TEXT NOT NULL,
    is_cancelled INTEGER NOT NULL CHECK (is_cancelled BETWEEN 0 AND 1),
    deadline_at  INTEGER,
    started_at   INTEGER,  -- by this file's clock, as rates are
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    ended_at     INTEGER CHECK ((ended_at IS NULL) = (status NOT IN ('succeeded', 'failed', 'cancelled'))),
    PRIMARY KEY (tenant, workflow_id)
) STRICT, WITHOUT ROWID;

-- No index of these has a column that a step changes.

-- What somebody has to work on, now or later, whatever its queue.
CREATE INDEX holdfast_execution_open ON holdfast_execution (tenant, status, wake_at) WHERE ended_at IS NULL;

-- What a queue hands out, in its order within one priority. It has all that a rule asks of a candidate, so that those
-- that the rule leaves out are passed over without a look at their rows.
CREATE INDEX holdfast_execution_due
    ON holdfast_execution (tenant, queue, priority, wake_at, workflow_id, function, limit_key, started_at, epoch, status,
                           pause)
    WHERE status IN ('queued', 'waiting', 'needs_review') AND pause = '' AND wake_at IS NOT NULL;

-- What runs, for a queue's limits and for what dead workers left: few at any time.
CREATE INDEX holdfast_execution_running ON holdfast_execution (tenant, queue, limit_key, status)
    WHERE status = 'running';

-- What was started lately, for a queue's rate.
CREATE INDEX holdfast_execution_started ON holdfast_execution (tenant, queue, started_at) WHERE started_at IS NOT NULL;

CREATE INDEX holdfast_execution_children ON holdfast_execution (tenant, parent) WHERE parent <> '';

-- For listings of what has ended, which was last touched when it ended.
CREATE INDEX holdfast_execution_ended ON holdfast_execution (tenant, status, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE holdfast_step (
    tenant       TEXT NOT NULL,
    workflow_id  TEXT NOT NULL,
    name         TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    occurrence   INTEGER NOT NULL CHECK (occurrence >= 0),
    kind         TEXT NOT NULL CHECK (kind IN ('step', 'effect', 'sleep', 'wait', 'value', 'gate', 'child')),
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
    child        TEXT,  -- the workflow whose output it is
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

-- Whose executions a person stopped; without an actor, all of the tenant's.
CREATE TABLE holdfast_halt (
    tenant  TEXT NOT NULL,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (tenant, actor)
) STRICT, WITHOUT ROWID;
