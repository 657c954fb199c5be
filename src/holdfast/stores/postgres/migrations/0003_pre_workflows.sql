-- Durable executions: a row per workflow that runs as code, a row per step of it, a row per signal to it. They stand
-- beside the effects, which know nothing of them.
CREATE DOMAIN holdfast_count AS bigint CHECK (VALUE >= 0);
CREATE TYPE holdfast_step_kind AS ENUM ('step', 'effect', 'sleep', 'wait', 'value', 'gate');
CREATE TYPE holdfast_step_state AS ENUM ('pending', 'succeeded', 'failed');

CREATE TABLE holdfast_execution (
    tenant       text COLLATE "C" NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    function     text NOT NULL,
    version      text NOT NULL,
    status       holdfast_status NOT NULL,
    input        text NOT NULL,
    output       text,
    error        text,
    actor        text NOT NULL,
    epoch        holdfast_count NOT NULL,  -- grows whenever somebody takes it (I3)
    owner        text NOT NULL,
    lease_until  timestamptz NOT NULL,
    crashes      holdfast_count NOT NULL,
    wake_at      timestamptz,
    waits_for    text NOT NULL,
    messages     holdfast_count NOT NULL,
    is_paused    boolean NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    PRIMARY KEY (tenant, workflow_id)
) WITH (fillfactor = 50);  -- a step rewrites the row in place: it touches no index

-- What somebody has to work on, now or later. Neither index has a column that a step changes.
CREATE INDEX holdfast_execution_open ON holdfast_execution (tenant, status, wake_at) WHERE ended_at IS NULL;

-- For listings of what has ended, which was last touched when it ended.
CREATE INDEX holdfast_execution_ended ON holdfast_execution (tenant, status, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE holdfast_step (
    tenant       text COLLATE "C" NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    fingerprint  text COLLATE "C" NOT NULL,
    occurrence   holdfast_count NOT NULL,
    kind         holdfast_step_kind NOT NULL,
    state        holdfast_step_state NOT NULL,
    position     holdfast_ordinal,  -- which end it is of all that the code was told
    attempt      holdfast_count NOT NULL,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    args         text,
    result       text,
    error        text,
    due_at       timestamptz,
    effect       text COLLATE "C",  -- the key of the effect that it was answered from
    PRIMARY KEY (tenant, workflow_id, name, fingerprint, occurrence)
) WITH (fillfactor = 80);  -- a step that began is ended in place

CREATE TABLE holdfast_message (
    tenant       text COLLATE "C" NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    number       holdfast_ordinal NOT NULL,
    name         text NOT NULL,
    body         text NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, workflow_id, id)
);
