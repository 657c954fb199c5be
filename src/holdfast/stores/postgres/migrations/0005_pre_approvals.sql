-- What people are asked about effects. Every write of an approval goes with a move of its effect, in one statement.
CREATE TYPE holdfast_approval_state AS ENUM ('pending', 'approved', 'consumed', 'denied', 'expired', 'withdrawn');

CREATE TABLE holdfast_approval (
    tenant       text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,  -- the effect that it is about
    workflow_id  text COLLATE "C" NOT NULL,
    tool         text NOT NULL,
    number       holdfast_ordinal NOT NULL,
    state        holdfast_approval_state NOT NULL,
    version      holdfast_ordinal NOT NULL,
    digest       text NOT NULL,  -- of the binding: what was approved
    binding      text NOT NULL,
    body         text NOT NULL,
    expires_at   timestamptz NOT NULL,
    due_at       timestamptz,
    notices      holdfast_count NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, key, number)
);

CREATE UNIQUE INDEX holdfast_approval_open ON holdfast_approval (tenant, key) WHERE state IN ('pending', 'approved');
CREATE INDEX holdfast_approval_inbox ON holdfast_approval (tenant, expires_at, id, version) WHERE state = 'pending';
CREATE INDEX holdfast_approval_newest ON holdfast_approval (tenant, created_at, id);
CREATE INDEX holdfast_approval_state ON holdfast_approval (tenant, state, created_at, id);
CREATE INDEX holdfast_approval_due ON holdfast_approval (tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX holdfast_approval_untold ON holdfast_approval (tenant, created_at) WHERE notices > 0;

-- Whether the approvals that *p_writes* moves are as their writer saw them; their rows are locked, before any effect's.
CREATE FUNCTION holdfast_approvals_hold_v1(p_now timestamptz, p_writes json) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_write json;
BEGIN
    FOR v_write IN SELECT json_array_elements(p_writes) LOOP
        IF v_write ->> 'op' = 'move' THEN
            PERFORM 1 FROM holdfast_approval AS a
            WHERE a.tenant = v_write ->> 'tenant' AND a.id = v_write ->> 'id'
              AND a.state = (v_write ->> 'frm')::holdfast_approval_state AND a.digest = v_write ->> 'was'
              AND a.version = (v_write ->> 'version')::bigint - 1
              AND (NOT (v_write ->> 'unexpired')::boolean OR a.expires_at > coalesce(p_now, clock_timestamp()))
            FOR UPDATE;
            IF NOT FOUND THEN
                RETURN false;
            END IF;
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- Write approvals after their effect was moved: when *p_told*, the answer to that, says that it was.
CREATE FUNCTION holdfast_write_approvals_v1(p_told json, p_writes json) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_write json;
BEGIN
    IF json_typeof(p_told) = 'array' THEN
        RETURN p_told;
    END IF;
    FOR v_write IN SELECT json_array_elements(p_writes) LOOP
        CASE v_write ->> 'op'
        WHEN 'open' THEN
            INSERT INTO holdfast_approval (
                tenant, id, key, workflow_id, tool, number, state, version, digest, binding, body, expires_at, due_at,
                notices, created_at, updated_at)
            VALUES (
                v_write ->> 'tenant', v_write ->> 'id', v_write ->> 'key', v_write ->> 'workflow_id', v_write ->> 'tool',
                (v_write ->> 'number')::bigint, (v_write ->> 'state')::holdfast_approval_state,
                (v_write ->> 'version')::bigint, v_write ->> 'digest', v_write ->> 'binding', v_write ->> 'body',
                (v_write ->> 'expires_at')::timestamptz, (v_write ->> 'due_at')::timestamptz,
                (v_write ->> 'notices')::integer, (v_write ->> 'created_at')::timestamptz,
                (v_write ->> 'updated_at')::timestamptz);
        WHEN 'move' THEN
            UPDATE holdfast_approval AS a
            SET state = (v_write ->> 'state')::holdfast_approval_state, version = (v_write ->> 'version')::bigint,
                digest = v_write ->> 'digest', binding = v_write ->> 'binding', body = v_write ->> 'body',
                expires_at = (v_write ->> 'expires_at')::timestamptz, due_at = (v_write ->> 'due_at')::timestamptz,
                notices = (v_write ->> 'notices')::integer, updated_at = (v_write ->> 'updated_at')::timestamptz
            WHERE a.tenant = v_write ->> 'tenant' AND a.id = v_write ->> 'id';
        WHEN 'args' THEN
            UPDATE holdfast_effect AS e SET args = v_write ->> 'args'
            WHERE e.tenant = v_write ->> 'tenant' AND e.key = v_write ->> 'key';
        END CASE;
    END LOOP;
    RETURN p_told;
END
$$;

-- The answer to a move that was not made because an approval is not as its writer saw it.
CREATE FUNCTION holdfast_present_v1(p_now timestamptz, p_tenant text, p_key text) RETURNS json LANGUAGE sql AS $$
    SELECT json_build_array(coalesce(p_now, clock_timestamp()),
                            (SELECT row_to_json(e) FROM holdfast_effect AS e WHERE e.tenant = p_tenant AND e.key = p_key))
$$;
