-- Retries that outlive a process, systems that tools depend on, signals from outside, compensation.
ALTER TABLE holdfast_effect
    ADD COLUMN uncertain boolean NOT NULL DEFAULT false,  -- an attempt may have acted
    ADD COLUMN spent boolean NOT NULL DEFAULT false,      -- its retries are used up
    ADD COLUMN retry_from integer NOT NULL DEFAULT 0,
    ADD COLUMN retry_since timestamptz,
    ADD COLUMN not_before timestamptz,                    -- the next attempt or look is due then
    ADD COLUMN external_id text,
    ADD COLUMN undoes text COLLATE "C";

-- What may be sent again was released before this without saying whether it may have acted: that is doubt.
UPDATE holdfast_effect SET uncertain = true WHERE safety = 'idempotent' AND state IN ('retryable', 'pending');

CREATE INDEX holdfast_effect_by_external_id ON holdfast_effect (tenant, external_id) WHERE external_id IS NOT NULL;

ALTER TABLE holdfast_workflow
    ADD COLUMN stopped text,                  -- why its next calls are refused
    ADD COLUMN stopped_by text COLLATE "C";   -- the effect that stopped it

CREATE TYPE holdfast_breaker AS ENUM ('closed', 'open', 'half_open');
CREATE TYPE holdfast_evidence AS ENUM ('done', 'not_done', 'still_unknown');

-- One row per system that tools depend on: its circuit breaker and its budget of retries. Statistics, not promises:
-- written by compare-and-set on `version`, apart from the effects.
CREATE TABLE holdfast_dependency (
    tenant      text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    version     holdfast_ordinal NOT NULL,
    state       holdfast_breaker NOT NULL,
    retry_at    timestamptz,
    body        text NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50);

-- What the outside told of effects, each signal once.
CREATE TABLE holdfast_signal (
    tenant       text COLLATE "C" NOT NULL,
    subject      text COLLATE "C" NOT NULL,  -- an effect's key, or what the system outside calls it
    id           text COLLATE "C" NOT NULL,
    outcome      holdfast_evidence NOT NULL,
    body         text NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, subject, id, outcome)
);

-- Count effects in doubt, stop the workflow or let it go on; its status follows.
CREATE FUNCTION holdfast_review_v2(
    p_tenant text, p_workflow_id text, p_delta integer, p_at timestamptz, p_stop text, p_stopped_by text,
    p_resumes boolean
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO holdfast_workflow AS w (tenant, workflow_id, status, open_reviews, updated_at, stopped, stopped_by)
    VALUES (p_tenant, p_workflow_id,
            (CASE WHEN p_delta > 0 OR p_stop IS NOT NULL THEN 'needs_review' ELSE 'running' END)::holdfast_status,
            greatest(p_delta, 0), p_at, p_stop, p_stopped_by)
    ON CONFLICT (tenant, workflow_id) DO UPDATE
    SET open_reviews = greatest(w.open_reviews + p_delta, 0),
        status = CASE WHEN w.open_reviews + p_delta > 0 OR p_stop IS NOT NULL
                           OR (w.stopped IS NOT NULL AND NOT p_resumes) THEN 'needs_review'
                      WHEN w.status = 'needs_review' THEN 'running'
                      ELSE w.status END,
        stopped = CASE WHEN p_stop IS NOT NULL THEN p_stop WHEN p_resumes THEN NULL ELSE w.stopped END,
        -- What is said again for the same reason is no news: it stays with who said it first.
        stopped_by = CASE WHEN p_stop IS DISTINCT FROM w.stopped AND p_stop IS NOT NULL THEN p_stopped_by
                          WHEN p_resumes THEN NULL ELSE w.stopped_by END,
        updated_at = p_at
$$;

-- Whether a claim must be refused although its effect may be claimed: its dependency's breaker is not closed, its
-- workflow is stopped, or that workflow's execution is not under way under the claimer's epoch. (That table comes with a
-- later migration, and is looked at only for those who have an epoch.)
CREATE FUNCTION holdfast_refuses_v1(
    p_tenant text, p_dependency text, p_obeys boolean, p_epoch bigint, p_workflow_id text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_dependency IS NOT NULL THEN
        PERFORM 1 FROM holdfast_dependency AS d
        WHERE d.tenant = p_tenant AND d.name = p_dependency AND d.state <> 'closed';
        IF FOUND THEN
            RETURN true;
        END IF;
    END IF;
    IF p_obeys THEN
        PERFORM 1 FROM holdfast_workflow AS w
        WHERE w.tenant = p_tenant AND w.workflow_id = p_workflow_id AND w.stopped IS NOT NULL;
        IF FOUND THEN
            RETURN true;
        END IF;
    END IF;
    IF p_epoch IS NOT NULL THEN
        PERFORM 1 FROM holdfast_execution AS x
        WHERE x.tenant = p_tenant AND x.workflow_id = p_workflow_id AND x.epoch = p_epoch AND x.status = 'running';
        RETURN NOT FOUND;
    END IF;
    RETURN false;
END
$$;

-- Put a new effect and its first audit entry into the ledger. Guard: the key is new, the claim is admitted, and, where it
-- matters, the outside has not told that it is done.
-- Answers the database's clock as a JSON string; or, when the guard did not hold, clock and row as a JSON array.
CREATE FUNCTION holdfast_insert_v2(
    p_now timestamptz, p_tenant text, p_key text, p_workflow_id text, p_tool text, p_intent text,
    p_safety holdfast_safety, p_fingerprint text, p_args text, p_call_id text, p_actor text, p_state holdfast_state,
    p_attempt integer, p_owner text, p_lease_s double precision, p_timeout_s double precision,
    p_has_outcome boolean, p_result text, p_result_gap text, p_error text, p_at timestamptz, p_audit_hash bytea,
    p_review integer, p_dependency text, p_obeys boolean, p_epoch bigint, p_untold boolean, p_undoes text, p_external_id text,
    p_stop text,
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
        IF (p_obeys OR p_dependency IS NOT NULL OR p_epoch IS NOT NULL)
           AND holdfast_refuses_v1(p_tenant, p_dependency, p_obeys, p_epoch, p_workflow_id) THEN
            RETURN json_build_array(v_now, NULL::json);  -- the key is new, so it is the claim that was not admitted
        END IF;
        IF p_untold THEN
            PERFORM 1 FROM holdfast_signal AS s
            WHERE s.tenant = p_tenant AND s.subject = p_key AND s.outcome = 'done';
            IF FOUND THEN
                RETURN json_build_array(v_now, NULL::json);
            END IF;
        END IF;
        INSERT INTO holdfast_effect (
            tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt,
            owner, lease_until, deadline_at, result, result_gap, error, created_at, updated_at, observed_at, audit_seq,
            audit_hash, open_state, undoes, external_id)
        VALUES (
            p_tenant, p_key, p_workflow_id, p_tool, p_intent, p_safety, p_fingerprint, p_args, p_call_id, p_actor,
            p_state, 1, p_attempt, p_owner, v_now + p_lease_s * interval '1 second',
            v_now + p_timeout_s * interval '1 second', p_result, p_result_gap, p_error, p_at, p_at,
            CASE WHEN p_has_outcome THEN p_at END, 1, p_audit_hash,
            CASE WHEN p_state IN ('waiting', 'retryable', 'unknown') THEN p_state END, p_undoes, p_external_id)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        -- A racing insert has won since we looked; the next look, a statement of its own, sees its row.
    END LOOP;
    IF p_review IS NOT NULL THEN
        PERFORM holdfast_review_v2(p_tenant, p_workflow_id, p_review, p_at, p_stop, p_key, false);
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
-- trail are what the writer saw, the claim has run out if it must have, and a new one is admitted. Answers as holdfast_insert_v2 does.
CREATE FUNCTION holdfast_move_v2(
    p_now timestamptz, p_tenant text, p_key text, p_frm holdfast_state, p_to holdfast_state, p_fence bigint,
    p_prev bytea, p_lease_over boolean, p_claims boolean, p_owner text, p_safety holdfast_safety,
    p_lease_s double precision, p_timeout_s double precision, p_has_outcome boolean, p_result text, p_result_gap text,
    p_error text, p_ends_attempt boolean, p_fence_step integer, p_attempt_step integer, p_at timestamptz,
    p_audit_hash bytea, p_review integer, p_workflow_id text, p_dependency text, p_obeys boolean, p_epoch bigint,
    p_uncertain boolean,
    p_spent boolean, p_delay_s double precision, p_renews boolean, p_unstarted boolean, p_external_id text,
    p_stop text, p_stopped_by text, p_resumes boolean,
    a_seq integer, a_event holdfast_event, a_state holdfast_state, a_fence bigint, a_attempt integer, a_actor text,
    a_at timestamptz, a_body text, a_salt bytea, a_content_hash bytea, a_prev bytea, a_hash bytea, a_keyed boolean
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_row json;
    v_joined boolean;
    v_refused boolean := false;
BEGIN
    IF p_obeys OR p_dependency IS NOT NULL OR p_epoch IS NOT NULL THEN
        v_refused := holdfast_refuses_v1(p_tenant, p_dependency, p_obeys, p_epoch, p_workflow_id);
    END IF;
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
        audit_hash = p_audit_hash,
        external_id = coalesce(p_external_id, e.external_id),
        uncertain = coalesce(p_uncertain, e.uncertain),
        spent = coalesce(p_spent, e.spent),
        not_before = CASE WHEN p_delay_s IS NOT NULL THEN v_now + p_delay_s * interval '1 second'
                          WHEN p_fence_step = 0 THEN e.not_before END,
        retry_from = CASE WHEN p_renews THEN e.attempt + p_attempt_step ELSE e.retry_from + p_unstarted::integer END,
        retry_since = CASE WHEN p_renews THEN p_at ELSE e.retry_since END
    WHERE e.tenant = p_tenant AND e.key = p_key
      AND e.state = p_frm AND e.fence = p_fence AND e.audit_hash = p_prev
      AND (NOT p_lease_over OR e.lease_until <= v_now)
      AND NOT v_refused
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
        PERFORM holdfast_review_v2(p_tenant, p_workflow_id, p_review, p_at, p_stop, p_stopped_by, p_resumes);
    END IF;
    INSERT INTO holdfast_audit (
        tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed)
    VALUES (
        p_tenant, p_key, a_seq, a_event, a_state, a_fence, a_attempt, a_actor, a_at, a_body, a_salt, a_content_hash,
        a_prev, a_hash, a_keyed);
    RETURN to_json(v_now);
END
$$;
