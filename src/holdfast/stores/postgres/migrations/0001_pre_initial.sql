-- Payloads are exact JSON text (or a codec's envelope): jsonb would refuse U+0000 and change numbers.
-- Names and keys are compared byte by byte (COLLATE "C"): the order in which every process sorts its batches.
-- Types refuse nonsense as a table's CHECKs would, without their price: PostgreSQL parses every CHECK of a table again
-- for each statement that writes to it, which came to half of what a whole guarded insert costs.
CREATE DOMAIN holdfast_ordinal AS bigint CHECK (VALUE >= 1);
CREATE TYPE holdfast_safety AS ENUM ('unsafe', 'idempotent', 'read', 'local');
CREATE TYPE holdfast_state AS ENUM (
    'waiting', 'pending', 'retryable', 'unknown', 'succeeded', 'failed', 'denied', 'cancelled', 'compensated');
CREATE TYPE holdfast_event AS ENUM (
    'ask', 'claim', 'take_over', 'succeed', 'fail', 'release', 'doubt', 'resolve_done', 'resolve_not_done', 'observe',
    'deny', 'cancel', 'compensate', 'note');
CREATE TYPE holdfast_status AS ENUM (
    'queued', 'running', 'waiting', 'succeeded', 'failed', 'needs_review', 'cancelled');

CREATE TABLE holdfast_effect (
    tenant       text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    tool         text NOT NULL,
    intent       text NOT NULL,
    safety       holdfast_safety NOT NULL,
    fingerprint  text NOT NULL,
    args         text NOT NULL,
    call_id      text,
    actor        text NOT NULL,
    state        holdfast_state NOT NULL,
    fence        holdfast_ordinal NOT NULL,  -- grows on every transition (I3)
    attempt      integer NOT NULL,
    owner        text NOT NULL,
    lease_until  timestamptz NOT NULL,
    deadline_at  timestamptz,
    result       text,
    result_gap   text,
    error        text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    observed_at  timestamptz,
    audit_seq    integer NOT NULL,
    audit_hash   bytea NOT NULL,
    joined       boolean NOT NULL DEFAULT false,
    open_state   holdfast_state,  -- the state again while it is unfinished business, else NULL
    PRIMARY KEY (tenant, key)
) WITH (fillfactor = 80);  -- room for the record beside the claim: the update touches no index

-- For listings. Their condition is always true, and only listings repeat it: without it the planner would take one
-- of these for a look-up by key while the table has no statistics, and read every effect of the tenant.
CREATE INDEX holdfast_effect_by_workflow ON holdfast_effect (tenant, workflow_id, created_at)
    WHERE created_at > '-infinity';
CREATE INDEX holdfast_effect_by_time ON holdfast_effect (tenant, created_at)
    WHERE created_at > '-infinity';

-- Unfinished business for sweepers and people; a call that goes well never enters it. The state has a second
-- column for this: an index that names `state` itself would make every record rewrite all indexes.
CREATE INDEX holdfast_effect_open ON holdfast_effect (tenant, open_state, created_at) WHERE open_state IS NOT NULL;

-- One entry per transition; it is the outbox event as well. `xid`, `sealed_at` and `leaf` are the sealer's: what
-- it numbers is settled (`xid` below the oldest running transaction), and `id` leads it there.
CREATE TABLE holdfast_audit (
    id            bigint GENERATED ALWAYS AS IDENTITY,
    tenant        text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    seq           holdfast_ordinal NOT NULL,
    event         holdfast_event NOT NULL,
    state         holdfast_state NOT NULL,
    fence         bigint NOT NULL,
    attempt       integer NOT NULL,
    actor         text NOT NULL,
    at            timestamptz NOT NULL,
    body          text,
    salt          bytea,
    content_hash  bytea NOT NULL,
    prev          bytea NOT NULL,
    hash          bytea NOT NULL,
    keyed         boolean NOT NULL,
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    sealed_at     timestamptz,
    leaf          bytea,
    PRIMARY KEY (tenant, key, seq)
);

CREATE INDEX holdfast_audit_by_id ON holdfast_audit USING brin (id);

CREATE TABLE holdfast_workflow (
    tenant        text COLLATE "C" NOT NULL,
    workflow_id   text COLLATE "C" NOT NULL,
    status        holdfast_status NOT NULL,
    open_reviews  integer NOT NULL CHECK (open_reviews >= 0),
    updated_at    timestamptz NOT NULL,
    audit_hash    bytea,
    PRIMARY KEY (tenant, workflow_id)
);

-- Count effects in doubt; the workflow's status follows the count.
CREATE FUNCTION holdfast_review_v1(p_tenant text, p_workflow_id text, p_delta integer, p_at timestamptz)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO holdfast_workflow AS w (tenant, workflow_id, status, open_reviews, updated_at)
    VALUES (p_tenant, p_workflow_id,
            (CASE WHEN p_delta > 0 THEN 'needs_review' ELSE 'running' END)::holdfast_status,
            greatest(p_delta, 0), p_at)
    ON CONFLICT (tenant, workflow_id) DO UPDATE
    SET open_reviews = greatest(w.open_reviews + p_delta, 0),
        status = CASE WHEN w.open_reviews + p_delta > 0 THEN 'needs_review'
                      WHEN w.status = 'needs_review' THEN 'running'
                      ELSE w.status END,
        updated_at = p_at
$$;

-- Put a new effect and its first audit entry into the ledger. Guard: the key is new.
-- Answers the database's clock as a JSON string; or, when the guard did not hold, clock and row as a JSON array.
CREATE FUNCTION holdfast_insert_v1(
    p_now timestamptz, p_tenant text, p_key text, p_workflow_id text, p_tool text, p_intent text,
    p_safety holdfast_safety, p_fingerprint text, p_args text, p_call_id text, p_actor text, p_state holdfast_state,
    p_attempt integer, p_owner text, p_lease_s double precision, p_timeout_s double precision,
    p_has_outcome boolean, p_result text, p_result_gap text, p_error text, p_at timestamptz, p_audit_hash bytea,
    p_review integer,
    a_seq integer, a_event holdfast_event, a_state holdfast_state, a_fence bigint, a_attempt integer, a_actor text,
    a_at timestamptz, a_body text, a_salt bytea, a_content_hash bytea, a_prev bytea, a_hash bytea, a_keyed boolean
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_row json;
BEGIN
    LOOP
        -- First, because a replay then reads one row and writes nothing: its commit has nothing to flush.
        SELECT row_to_json(e) INTO v_row FROM holdfast_effect AS e WHERE e.tenant = p_tenant AND e.key = p_key;
        IF FOUND THEN
            RETURN json_build_array(v_now, v_row);
        END IF;
        INSERT INTO holdfast_effect (
            tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt,
            owner, lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq,
            audit_hash, open_state)
        VALUES (
            p_tenant, p_key, p_workflow_id, p_tool, p_intent, p_safety, p_fingerprint, p_args, p_call_id, p_actor,
            p_state, 1, p_attempt, p_owner, v_now + p_lease_s * interval '1 second',
            v_now + p_timeout_s * interval '1 second', p_result, p_result_gap, p_error, p_at, p_at,
            CASE WHEN p_has_outcome THEN p_at END, 1, p_audit_hash,
            CASE WHEN p_state IN ('waiting', 'retryable', 'unknown') THEN p_state END)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        -- A racing insert has won since we looked; the next look, a statement of its own, sees its row.
    END LOOP;
    IF p_review IS NOT NULL THEN
        PERFORM holdfast_review_v1(p_tenant, p_workflow_id, p_review, p_at);
    END IF;
    INSERT INTO holdfast_audit (
        tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed)
    VALUES (
        p_tenant, p_key, a_seq, a_event, a_state, a_fence, a_attempt, a_actor, a_at, a_body, a_salt, a_content_hash,
        a_prev, a_hash, a_keyed);
    RETURN to_json(v_now);
END
$$;

-- Move an effect and append the audit entry that tells of it. Guard (I3): state, fence and the end of the audit
-- trail are what the writer saw, and the claim has run out if it must have. Answers as holdfast_insert_v1 does.
CREATE FUNCTION holdfast_move_v1(
    p_now timestamptz, p_tenant text, p_key text, p_frm holdfast_state, p_to holdfast_state, p_fence bigint,
    p_prev bytea, p_lease_over boolean, p_claims boolean, p_owner text, p_safety holdfast_safety,
    p_lease_s double precision, p_timeout_s double precision, p_has_outcome boolean, p_result text, p_result_gap text,
    p_error text, p_ends_attempt boolean, p_fence_step integer, p_attempt_step integer, p_at timestamptz,
    p_audit_hash bytea, p_review integer, p_workflow_id text,
    a_seq integer, a_event holdfast_event, a_state holdfast_state, a_fence bigint, a_attempt integer, a_actor text,
    a_at timestamptz, a_body text, a_salt bytea, a_content_hash bytea, a_prev bytea, a_hash bytea, a_keyed boolean
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_row json;
    v_joined boolean;
BEGIN
    UPDATE holdfast_effect AS e
    SET state = p_to,
        open_state = CASE WHEN p_to IN ('waiting', 'retryable', 'unknown') THEN p_to END,
        fence = e.fence + p_fence_step,
        attempt = e.attempt + p_attempt_step,
        owner = CASE WHEN p_claims THEN p_owner ELSE e.owner END,
        safety = coalesce(p_safety, e.safety),
        lease_until = CASE WHEN p_claims THEN v_now + p_lease_s * interval '1 second' ELSE e.lease_until END,
        deadline_at = CASE WHEN p_claims THEN v_now + p_timeout_s * interval '1 second'
                           WHEN p_ends_attempt THEN greatest(e.deadline_at, v_now)
                           ELSE e.deadline_at END,
        result = CASE WHEN p_has_outcome THEN p_result ELSE e.result END,
        result_gap = CASE WHEN p_has_outcome THEN p_result_gap ELSE e.result_gap END,
        error = CASE WHEN p_has_outcome THEN p_error ELSE e.error END,
        observed_at = CASE WHEN p_has_outcome THEN p_at ELSE e.observed_at END,
        updated_at = p_at,
        audit_seq = e.audit_seq + 1,
        audit_hash = p_audit_hash
    WHERE e.tenant = p_tenant AND e.key = p_key
      AND e.state = p_frm AND e.fence = p_fence AND e.audit_hash = p_prev
      AND (NOT p_lease_over OR e.lease_until <= v_now)
    RETURNING e.joined INTO v_joined;
    IF NOT FOUND THEN
        SELECT row_to_json(e) INTO v_row FROM holdfast_effect AS e WHERE e.tenant = p_tenant AND e.key = p_key;
        RETURN json_build_array(v_now, v_row);
    END IF;
    IF v_joined AND p_fence_step > 0 THEN
        -- Only for whom it may concern: NOTIFY makes all commits of the database queue up.
        UPDATE holdfast_effect AS e SET joined = false WHERE e.tenant = p_tenant AND e.key = p_key;
        PERFORM pg_notify('holdfast', p_key);
    END IF;
    IF p_review IS NOT NULL THEN
        PERFORM holdfast_review_v1(p_tenant, p_workflow_id, p_review, p_at);
    END IF;
    INSERT INTO holdfast_audit (
        tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed)
    VALUES (
        p_tenant, p_key, a_seq, a_event, a_state, a_fence, a_attempt, a_actor, a_at, a_body, a_salt, a_content_hash,
        a_prev, a_hash, a_keyed);
    RETURN to_json(v_now);
END
$$;

-- For people with a SQL prompt: payloads as jsonb where they can be.
CREATE FUNCTION holdfast_jsonb_v1(payload text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN payload::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN to_jsonb(payload);  -- jsonb has no U+0000; the exact text is in holdfast_effect
END
$$;

CREATE VIEW holdfast_effects_v AS
SELECT tenant, key, workflow_id, tool, intent, safety::text AS safety, state::text AS state, attempt,
       holdfast_jsonb_v1(args) AS args, holdfast_jsonb_v1(result) AS result, holdfast_jsonb_v1(error) AS error, actor,
       created_at, updated_at,
       round(extract(epoch FROM coalesce(observed_at, updated_at) - created_at) * 1000) AS took_ms
FROM holdfast_effect;
