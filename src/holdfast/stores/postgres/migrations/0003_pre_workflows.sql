-- Durable executions: a row per workflow that runs as code, a row per step of it, a row per signal to it. They stand
-- beside the effects, which know nothing of them but this: who ends doubt about an effect wakes its workflow's execution.
CREATE DOMAIN holdfast_count AS bigint CHECK (VALUE >= 0);
CREATE TYPE holdfast_step_kind AS ENUM ('step', 'effect', 'sleep', 'wait', 'value', 'gate', 'child');
CREATE TYPE holdfast_step_state AS ENUM ('pending', 'succeeded', 'failed');
CREATE TYPE holdfast_pause AS ENUM ('', 'paused', 'halted', 'dead_letter', 'diverged');

CREATE TABLE holdfast_execution (
    tenant        text COLLATE "C" NOT NULL,
    workflow_id   text COLLATE "C" NOT NULL,
    function      text NOT NULL,
    version       text NOT NULL,
    status        holdfast_status NOT NULL,
    input         text NOT NULL,
    output        text,
    error         text,
    actor         text NOT NULL,
    queue         text COLLATE "C" NOT NULL,  -- whose workers take it; '' for none
    priority      bigint NOT NULL,
    limit_key     text COLLATE "C" NOT NULL,  -- what it shares its queue's limit per key with; '' for nothing
    parent        text COLLATE "C" NOT NULL,  -- the workflow that waits for it; '' for none; never changed
    on_failure    text NOT NULL,
    trace         text NOT NULL,
    epoch         holdfast_count NOT NULL,    -- grows whenever somebody takes it (I3)
    owner         text NOT NULL,
    lease_until   timestamptz NOT NULL,
    crashes       holdfast_count NOT NULL,
    wake_at       timestamptz,                -- NULL while somebody works on it
    waits_for     text NOT NULL,
    news          holdfast_count NOT NULL,
    pause         holdfast_pause NOT NULL,
    pause_reason  text NOT NULL,
    is_cancelled  boolean NOT NULL,
    deadline_at   timestamptz,
    started_at    timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    PRIMARY KEY (tenant, workflow_id)
) WITH (fillfactor = 50);  -- a step rewrites the row in place: it touches no index

-- No index has a column that a step changes (lease_until, crashes, updated_at), nor one of what a signal to a running
-- execution changes (news).
-- What somebody has to work on, now or later, for people: over all queues.
CREATE INDEX holdfast_execution_open ON holdfast_execution (tenant, status, wake_at) WHERE ended_at IS NULL;

-- What has its turn in a queue, now or later, in the order in which it is taken.
CREATE INDEX holdfast_execution_due ON holdfast_execution (tenant, queue, priority DESC, wake_at, workflow_id)
    WHERE status IN ('queued', 'waiting', 'needs_review') AND pause = '' AND wake_at IS NOT NULL;

-- The same for what somebody has worked on before: a queue that may start no more for now finds these behind many that
-- were never started.
CREATE INDEX holdfast_execution_known ON holdfast_execution (tenant, queue, priority DESC, wake_at, workflow_id)
    WHERE status IN ('queued', 'waiting', 'needs_review') AND pause = '' AND wake_at IS NOT NULL
      AND started_at IS NOT NULL AND queue <> '';

-- Who works on what, to count them and to find the dead among them: as many as there are workers' hands.
CREATE INDEX holdfast_execution_running ON holdfast_execution (tenant, queue, limit_key) WHERE status = 'running';

-- The same by what limits are shared by: a queue whose limits per key are reached finds other keys behind many of these.
CREATE INDEX holdfast_execution_by_key
    ON holdfast_execution (tenant, queue, limit_key, priority DESC, wake_at, workflow_id)
    WHERE status IN ('queued', 'waiting', 'needs_review') AND pause = '' AND wake_at IS NOT NULL AND queue <> '';

-- How many of a queue were started lately. Its condition holds for all that were; only who counts them repeats it:
-- without it the planner would take this index for those above while the table has no statistics.
CREATE INDEX holdfast_execution_started ON holdfast_execution (tenant, queue, started_at)
    WHERE started_at > '-infinity' AND queue <> '';

CREATE INDEX holdfast_execution_parent ON holdfast_execution (tenant, parent) WHERE parent <> '';

-- For listings of what has ended, which was last touched when it ended, and for retention.
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
    child        text COLLATE "C",  -- the workflow whose output it is
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

-- Who is stopped; '' for a tenant's actors altogether.
CREATE TABLE holdfast_halt (
    tenant  text COLLATE "C" NOT NULL,
    actor   text COLLATE "C" NOT NULL,
    reason  text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (tenant, actor)
);

-- What stands for an actor among advisory locks.
CREATE FUNCTION holdfast_halt_lock_v1(p_tenant text, p_actor text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT hashtextextended(p_actor || chr(31) || p_tenant, 'holdfast_halt'::regclass::oid::bigint)
$$;

-- Why an actor is stopped; NULL when it is not. Until the end of the transaction nobody can stop it, nor let it go on:
-- who stops it afterwards finds what this transaction begins, and who stopped it before is seen here, since a function
-- sees what was committed while it waited.
CREATE FUNCTION holdfast_halt_of_v1(p_tenant text, p_actor text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(holdfast_halt_lock_v1(p_tenant, ''));
    IF p_actor <> '' THEN
        PERFORM pg_advisory_xact_lock_shared(holdfast_halt_lock_v1(p_tenant, p_actor));
    END IF;
    RETURN (SELECT h.reason FROM holdfast_halt AS h
            WHERE h.tenant = p_tenant AND h.actor IN ('', p_actor)
            ORDER BY h.actor DESC
            LIMIT 1);
END
$$;

-- Tell other processes; returns what they were told. A hint: what is too long to be told is not.
CREATE FUNCTION holdfast_ring_v1(p_bell text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF octet_length(p_bell) < 8000 THEN
        PERFORM pg_notify('holdfast', p_bell);
    END IF;
    RETURN p_bell;
END
$$;

-- Pass on what the move of an effect told. If it was made, and ended doubt or let the workflow go on, wake its execution;
-- if that is due, the answer is the clock and what rings for it.
CREATE FUNCTION holdfast_woken_v1(
    p_told json, p_tenant text, p_workflow_id text, p_review integer, p_resumes boolean, p_at timestamptz
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
BEGIN
    IF (p_review < 0 OR p_resumes) AND json_typeof(p_told) = 'string' THEN
        UPDATE holdfast_execution AS e
        SET news = e.news + 1,
            wake_at = CASE WHEN e.status = 'running' THEN e.wake_at ELSE (p_told #>> '{}')::timestamptz END,
            updated_at = p_at
        WHERE e.tenant = p_tenant AND e.workflow_id = p_workflow_id AND e.ended_at IS NULL
        RETURNING CASE WHEN e.status <> 'running' AND e.pause = '' THEN e.queue END INTO v_queue;
        IF v_queue IS NOT NULL THEN
            RETURN json_build_object('now', p_told, 'bell', holdfast_ring_v1('due ' || p_tenant || ' ' || v_queue));
        END IF;
    END IF;
    RETURN p_told;
END
$$;
