-- What may be spent, and what was. Both are written only together with a move of the effect that spends, in one statement.
-- Locks have one order for everybody: budgets by their primary key, then approvals, then the effect.
CREATE TYPE holdfast_hold_state AS ENUM ('held', 'settled', 'assumed', 'released');

-- Slice 0 is the budget itself; the others are what a part of a fleet may spend of it without looking at it.
CREATE TABLE holdfast_budget (
    owner         text COLLATE "C" NOT NULL,  -- a tenant; empty for what all share
    account       text COLLATE "C" NOT NULL,
    unit          text COLLATE "C" NOT NULL,
    per           text COLLATE "C" NOT NULL CHECK (per IN ('', 'minute', 'hour', 'day', 'month')),
    slice         integer NOT NULL CHECK (slice >= 0),
    cap           bigint NOT NULL,            -- what code declared last; of a slice, what it was granted
    raised        bigint NOT NULL,            -- what people added
    granted       holdfast_count NOT NULL,    -- what its slices may spend, whether or not they have
    spent         holdfast_count NOT NULL,
    held          holdfast_count NOT NULL,
    window_start  timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (owner, account, unit, per, slice)
) WITH (fillfactor = 50);

-- What each attempt may cost, and did: the record of costs.
CREATE TABLE holdfast_hold (
    tenant        text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    attempt       holdfast_ordinal NOT NULL,
    workflow_id   text COLLATE "C" NOT NULL,
    actor         text COLLATE "C" NOT NULL,
    tool          text COLLATE "C" NOT NULL,
    model         text COLLATE "C" NOT NULL,
    state         holdfast_hold_state NOT NULL,
    currency      text COLLATE "C" NOT NULL,
    money         holdfast_count NOT NULL,
    tokens        holdfast_count NOT NULL,
    spent_money   bigint,
    spent_tokens  bigint,
    price         text,
    usage         text,
    taken         text NOT NULL,              -- of which budgets, in the order of their locks
    at            timestamptz NOT NULL,
    settled_at    timestamptz,
    PRIMARY KEY (tenant, key, attempt)
) WITH (fillfactor = 80);

CREATE INDEX holdfast_hold_newest ON holdfast_hold (tenant, at, key, attempt);
CREATE INDEX holdfast_hold_workflow ON holdfast_hold (tenant, workflow_id, at);
CREATE INDEX holdfast_hold_open ON holdfast_hold (tenant, at) WHERE state IN ('held', 'assumed');

-- When the window began that a moment is in.
CREATE FUNCTION holdfast_window_v1(p_per text, p_at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_per = '' THEN to_timestamp(0) ELSE date_trunc(p_per, p_at, 'UTC') END
$$;

-- A budget as it is, all its slices together, in the window that has begun: the answer's way to tell it.
CREATE FUNCTION holdfast_level_v1(p_now timestamptz, p_owner text, p_account text, p_unit text, p_per text)
RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_array(
        p_owner, p_account, p_unit, p_per, max(b.cap) FILTER (WHERE b.slice = 0), max(b.raised) FILTER (WHERE b.slice = 0),
        sum(CASE WHEN b.window_start < holdfast_window_v1(p_per, p_now) THEN 0 ELSE b.spent END)::bigint,
        sum(b.held)::bigint, max(b.window_start))
    FROM holdfast_budget AS b
    WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per
    HAVING count(*) > 0
$$;

-- What ending an attempt spends of a unit of which it holds *p_bound*.
CREATE FUNCTION holdfast_spent_v1(p_settle json, p_unit text, p_bound bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_settle ->> 'basis' WHEN 'bound' THEN p_bound WHEN 'nothing' THEN 0
           ELSE coalesce((p_settle -> 'amounts' ->> p_unit)::bigint, p_bound) END
$$;

-- The holds that a settlement is about, and what they have of which budgets.
CREATE FUNCTION holdfast_settled_v1(p_tenant text, p_key text, p_settle json)
RETURNS TABLE (attempt bigint, state holdfast_hold_state, settled_at timestamptz, owner text, account text, unit text, per text,
               slice integer, amount bigint, returns boolean)
LANGUAGE sql STABLE AS $$
    SELECT h.attempt, h.state, h.settled_at, t.of ->> 0, t.of ->> 1, t.of ->> 2, t.of ->> 3, (t.of ->> 6)::integer,
           (t.of ->> 4)::bigint, (t.of ->> 5)::boolean
    FROM holdfast_hold AS h, json_array_elements(h.taken::json) AS t (of)
    WHERE p_settle IS NOT NULL AND h.tenant = p_tenant AND h.key = p_key
      AND (h.state = 'held' OR (h.state = 'assumed' AND p_settle ->> 'basis' <> 'bound'))
      AND h.attempt = coalesce((p_settle ->> 'attempt')::bigint, h.attempt)
$$;

CREATE FUNCTION holdfast_demands_v1(p_holds json)
RETURNS TABLE (owner text, account text, unit text, per text, slice integer, slices integer, cap bigint, amount bigint,
               held bigint, spent bigint)
LANGUAGE sql IMMUTABLE AS $$
    SELECT * FROM json_to_recordset(p_holds -> 'demands')
        AS d (owner text, account text, unit text, per text, slice integer, slices integer, cap bigint, amount bigint,
              held bigint, spent bigint)
$$;

-- Lock the budgets that a change concerns, and say whether it fits into them: {"go": true}, or which of them refuses it, or
-- that it has to be looked at *p_slowly*, which locks all the slices of a divided budget. Nothing is written.
-- What is in the way of the change besides is not looked at: when the effect is not as the writer saw it, it goes.
CREATE FUNCTION holdfast_fits_v1(
    p_now timestamptz, p_tenant text, p_key text, p_frm holdfast_state, p_fence bigint, p_prev bytea, p_over boolean,
    p_holds json,
    p_slowly boolean
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_settle json := nullif((p_holds -> 'settle')::text, 'null')::json;
    v_demand record;
    v_window timestamptz;
    v_known record;
    v_freed bigint;
BEGIN
    PERFORM 1 FROM holdfast_effect AS e
    WHERE e.tenant = p_tenant AND e.key = p_key
      AND (p_frm IS NULL OR (e.state = p_frm AND e.fence = p_fence AND e.audit_hash = p_prev
                             AND (NOT p_over OR e.lease_until <= v_now)));
    IF FOUND = (p_frm IS NULL) THEN
        RETURN '{"go": true}';
    END IF;
    PERFORM 1
    FROM (SELECT s.owner, s.account, s.unit, s.per, s.slice FROM holdfast_settled_v1(p_tenant, p_key, v_settle) AS s
          UNION SELECT d.owner, d.account, d.unit, d.per, d.slice FROM holdfast_demands_v1(p_holds) AS d
          UNION SELECT x.owner, x.account, x.unit, x.per, x.slice FROM holdfast_demands_v1(p_holds) AS d
                JOIN holdfast_budget AS x USING (owner, account, unit, per) WHERE p_slowly) AS p
    JOIN holdfast_budget AS b USING (owner, account, unit, per, slice)
    ORDER BY b.owner, b.account, b.unit, b.per, b.slice
    FOR UPDATE OF b;
    FOR v_demand IN SELECT * FROM holdfast_demands_v1(p_holds) LOOP
        v_window := holdfast_window_v1(v_demand.per, v_now);
        IF v_demand.slice = 0 OR p_slowly THEN
            PERFORM 1 FROM holdfast_budget AS b
            WHERE b.owner = v_demand.owner AND b.account = v_demand.account AND b.unit = v_demand.unit
              AND b.per = v_demand.per AND b.slice IN (0, v_demand.slice)
            HAVING count(*) = 1 + (v_demand.slice > 0)::integer;
            IF NOT FOUND THEN  -- nobody else makes it meanwhile
                PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(
                    chr(31), v_demand.owner, v_demand.account, v_demand.unit, v_demand.per),
                    'holdfast_budget'::regclass::oid::bigint));
                PERFORM 1 FROM holdfast_budget AS b
                WHERE b.owner = v_demand.owner AND b.account = v_demand.account AND b.unit = v_demand.unit
                  AND b.per = v_demand.per AND (b.slice = v_demand.slice OR p_slowly)
                ORDER BY b.slice FOR UPDATE;
            END IF;
        END IF;
        SELECT count(*) AS rows, coalesce(max(b.raised) FILTER (WHERE b.slice = 0), 0) AS raised,
               coalesce(max(b.cap) FILTER (WHERE b.slice = v_demand.slice), 0) AS cap,
               coalesce(max(b.granted), 0) AS granted,
               coalesce(sum(CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END + b.held), 0) AS used,
               coalesce(bool_or(b.window_start < v_window), false) AS over
        INTO v_known
        FROM holdfast_budget AS b
        WHERE b.owner = v_demand.owner AND b.account = v_demand.account AND b.unit = v_demand.unit
          AND b.per = v_demand.per AND (b.slice = v_demand.slice OR p_slowly);
        IF v_demand.slice > 0 AND NOT p_slowly THEN
            IF v_known.rows = 0 OR v_known.over OR v_known.used + v_demand.amount > v_known.cap THEN
                RETURN '{"go": false, "again": true}';
            END IF;
            CONTINUE;
        END IF;
        IF v_demand.slice = 0 AND NOT p_slowly AND v_known.granted > 0 THEN
            RETURN '{"go": false, "again": true}';
        END IF;
        SELECT coalesce(sum(s.amount - CASE WHEN s.returns THEN 0 ELSE holdfast_spent_v1(v_settle, s.unit, s.amount) END), 0)
        INTO v_freed
        FROM holdfast_settled_v1(p_tenant, p_key, v_settle) AS s
        WHERE s.state = 'held' AND s.owner = v_demand.owner AND s.account = v_demand.account AND s.unit = v_demand.unit
          AND s.per = v_demand.per;
        IF v_known.used - v_freed + v_demand.amount > v_demand.cap + v_known.raised THEN
            RETURN json_build_object('go', false, 'amount', v_demand.amount, 'cap', v_demand.cap, 'refused', coalesce(
                holdfast_level_v1(v_now, v_demand.owner, v_demand.account, v_demand.unit, v_demand.per),
                json_build_array(v_demand.owner, v_demand.account, v_demand.unit, v_demand.per, v_demand.cap, 0, 0, 0,
                                 v_window)));
        END IF;
    END LOOP;
    RETURN '{"go": true}';
END
$$;

-- A budget as one row tells it, or, when it is divided, as all its slices do.
CREATE FUNCTION holdfast_told_v1(p_now timestamptz, p_row holdfast_budget) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN (p_row).granted = 0 THEN json_build_array(
        (p_row).owner, (p_row).account, (p_row).unit, (p_row).per, (p_row).cap, (p_row).raised, (p_row).spent, (p_row).held,
        (p_row).window_start)
    ELSE holdfast_level_v1(p_now, (p_row).owner, (p_row).account, (p_row).unit, (p_row).per) END
$$;

-- Give back what the first *p_count* demands took; their rows are still locked.
CREATE FUNCTION holdfast_untake_v1(p_holds json, p_count integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_demand record;
BEGIN
    FOR v_demand IN SELECT * FROM holdfast_demands_v1(p_holds) LIMIT p_count LOOP
        UPDATE holdfast_budget AS b SET held = b.held - v_demand.held, spent = b.spent - v_demand.spent
        WHERE b.owner = v_demand.owner AND b.account = v_demand.account AND b.unit = v_demand.unit AND b.per = v_demand.per
          AND b.slice = v_demand.slice;
    END LOOP;
END
$$;

-- What nearly every claim comes to: its budgets are there, as code declares them, in a window that has begun, with room for
-- it. They are locked, looked at and taken of in one go; giving that back leaves no trace. NULL: it is not like that, and
-- nothing was taken.
CREATE FUNCTION holdfast_take_all_v1(
    p_now timestamptz, p_tenant text, p_key text, p_frm holdfast_state, p_fence bigint, p_prev bytea, p_over boolean,
    p_holds json
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_demand record;
    v_row holdfast_budget;
    v_taken integer := 0;
    v_levels json[] := '{}';
BEGIN
    IF json_typeof(p_holds -> 'settle') <> 'null' THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM holdfast_effect AS e
    WHERE e.tenant = p_tenant AND e.key = p_key
      AND (p_frm IS NULL OR (e.state = p_frm AND e.fence = p_fence AND e.audit_hash = p_prev
                             AND (NOT p_over OR e.lease_until <= v_now)));
    IF FOUND = (p_frm IS NULL) THEN
        RETURN '{"go": true, "taken": 0, "levels": []}';
    END IF;
    FOR v_demand IN SELECT * FROM holdfast_demands_v1(p_holds) LOOP
        UPDATE holdfast_budget AS b
        SET held = b.held + v_demand.held, spent = b.spent + v_demand.spent, updated_at = v_now
        WHERE b.owner = v_demand.owner AND b.account = v_demand.account AND b.unit = v_demand.unit AND b.per = v_demand.per
          AND b.slice = v_demand.slice AND (b.slice > 0 OR b.cap = v_demand.cap)
          AND b.window_start >= holdfast_window_v1(v_demand.per, v_now)
          AND b.spent + b.held + b.granted + v_demand.amount <= b.cap + CASE WHEN b.slice = 0 THEN b.raised ELSE 0 END
        RETURNING b.* INTO v_row;
        IF NOT FOUND THEN
            PERFORM holdfast_untake_v1(p_holds, v_taken);
            RETURN NULL;
        END IF;
        v_taken := v_taken + 1;
        IF v_demand.slice = 0 THEN
            v_levels := v_levels || holdfast_told_v1(v_now, v_row);
        END IF;
    END LOOP;
    RETURN json_build_object('go', true, 'taken', v_taken, 'levels', array_to_json(v_levels));
END
$$;

-- Lock the budgets that a settlement is about, before the effect is.
CREATE FUNCTION holdfast_lock_settled_v1(p_tenant text, p_key text, p_holds json) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    IF json_array_length(p_holds -> 'demands') > 0 OR json_typeof(p_holds -> 'place') <> 'null' THEN
        RETURN NULL;
    END IF;
    PERFORM 1
    FROM holdfast_settled_v1(p_tenant, p_key, p_holds -> 'settle') AS s
    JOIN holdfast_budget AS b USING (owner, account, unit, per, slice)
    ORDER BY b.owner, b.account, b.unit, b.per, b.slice
    FOR UPDATE OF b;
    RETURN '{"go": true}';
END
$$;

-- Take of one budget what was found to fit; its rows are locked. A slice that does not suffice is given what it needs, and an
-- eighth of a fair share of what is left; when too little is left, what the other slices do not use is taken back.
CREATE FUNCTION holdfast_take_v1(
    p_now timestamptz, p_owner text, p_account text, p_unit text, p_per text, p_slice integer, p_slices integer, p_cap bigint,
    p_amount bigint, p_held bigint, p_spent bigint, p_slowly boolean
) RETURNS holdfast_budget LANGUAGE plpgsql AS $$
DECLARE
    v_window timestamptz := holdfast_window_v1(p_per, p_now);
    v_left bigint;
    v_row holdfast_budget;
BEGIN
    INSERT INTO holdfast_budget (owner, account, unit, per, slice, cap, raised, spent, held, granted, window_start, updated_at)
    SELECT p_owner, p_account, p_unit, p_per, n, CASE WHEN n = 0 THEN p_cap ELSE 0 END, 0, 0, 0, 0, v_window, p_now
    FROM unnest(ARRAY[0, p_slice]) AS n
    WHERE n = 0 AND p_slice = 0 OR p_slowly
    ON CONFLICT DO NOTHING;
    IF p_slowly THEN
        UPDATE holdfast_budget AS b
        SET spent = 0, cap = CASE WHEN b.slice > 0 THEN b.held ELSE b.cap END, window_start = v_window
        WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.window_start < v_window;
        SELECT p_cap + max(b.raised) FILTER (WHERE b.slice = 0) - p_amount
               - sum(CASE WHEN b.slice = 0 THEN b.spent + b.held ELSE greatest(b.cap, b.spent + b.held) END)
               + sum(CASE WHEN b.slice = p_slice AND p_slice > 0 THEN greatest(b.cap - b.spent - b.held, 0) ELSE 0 END)
        INTO v_left
        FROM holdfast_budget AS b
        WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per;
        IF v_left < 0 THEN
            UPDATE holdfast_budget AS b SET cap = b.spent + b.held
            WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice > 0;
            v_left := 0;
        END IF;
        UPDATE holdfast_budget AS b
        SET cap = greatest(b.cap, b.spent + b.held + p_amount + v_left / (8 * greatest(p_slices, 1)))
        WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice = p_slice
          AND p_slice > 0;
        UPDATE holdfast_budget AS b
        SET cap = p_cap, granted = (
            SELECT coalesce(sum(greatest(x.cap, x.spent + x.held)), 0) FROM holdfast_budget AS x
            WHERE x.owner = p_owner AND x.account = p_account AND x.unit = p_unit AND x.per = p_per AND x.slice > 0)
        WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice = 0;
    END IF;
    -- The guard once more: should it not hold, nothing of the change may stay.
    UPDATE holdfast_budget AS b
    SET held = b.held + p_held, updated_at = p_now,
        spent = CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END + p_spent,
        window_start = greatest(b.window_start, v_window),
        cap = CASE WHEN b.slice = 0 THEN p_cap ELSE b.cap END
    WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice = p_slice
      AND CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END + b.held + b.granted + p_amount
          <= CASE WHEN b.slice = 0 THEN p_cap + b.raised ELSE b.cap END
    RETURNING b.* INTO v_row;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a budget changed under its lock' USING ERRCODE = 'P0001';
    END IF;
    RETURN v_row;
END
$$;

-- Settle what an effect's attempts hold: what they held is free again, what they spent is not. What was assumed is corrected
-- in the window that it was counted in. Told is how full the budgets are then; what is told twice was touched twice.
CREATE FUNCTION holdfast_settle_v1(p_now timestamptz, p_tenant text, p_key text, p_settle json) RETURNS json[]
LANGUAGE plpgsql AS $$
DECLARE
    v_taken record;
    v_window timestamptz;
    v_spent bigint;
    v_row holdfast_budget;
    v_levels json[] := '{}';
BEGIN
    FOR v_taken IN SELECT * FROM holdfast_settled_v1(p_tenant, p_key, p_settle) LOOP
        v_window := holdfast_window_v1(v_taken.per, p_now);
        v_spent := CASE WHEN v_taken.returns THEN 0 ELSE holdfast_spent_v1(p_settle, v_taken.unit, v_taken.amount) END;
        UPDATE holdfast_budget AS b
        SET held = CASE WHEN v_taken.state = 'held' THEN greatest(b.held - v_taken.amount, 0) ELSE b.held END,
            spent = CASE
                WHEN v_taken.state = 'held' THEN
                    greatest(CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END + v_spent, 0)
                WHEN v_taken.returns
                  OR greatest(b.window_start, v_window) <> holdfast_window_v1(v_taken.per, v_taken.settled_at) THEN
                    CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END
                ELSE greatest(b.spent + v_spent - v_taken.amount, 0) END,
            window_start = greatest(b.window_start, v_window),
            updated_at = p_now
        WHERE b.owner = v_taken.owner AND b.account = v_taken.account AND b.unit = v_taken.unit AND b.per = v_taken.per
          AND b.slice = v_taken.slice
        RETURNING b.* INTO v_row;
        IF FOUND AND v_taken.slice = 0 THEN
            v_levels := v_levels || holdfast_told_v1(p_now, v_row);
        END IF;
    END LOOP;
    UPDATE holdfast_hold AS h
    SET state = CASE p_settle ->> 'basis' WHEN 'bound' THEN 'assumed' WHEN 'actual' THEN 'settled'
                ELSE 'released' END::holdfast_hold_state,
        spent_money = holdfast_spent_v1(p_settle, h.currency, h.money),
        spent_tokens = holdfast_spent_v1(p_settle, 'tokens', h.tokens),
        usage = coalesce(p_settle ->> 'usage', h.usage), settled_at = p_now
    WHERE h.tenant = p_tenant AND h.key = p_key
      AND (h.state = 'held' OR (h.state = 'assumed' AND p_settle ->> 'basis' <> 'bound'))
      AND h.attempt = coalesce((p_settle ->> 'attempt')::bigint, h.attempt);
    RETURN v_levels;
END
$$;

-- Pass on the answer to a change, and hold and settle what goes with it, if it was made. Told as well is how full the budgets
-- are then, or which refused it; of a slice that sufficed nothing is told.
CREATE FUNCTION holdfast_held_v1(
    p_now timestamptz, p_tenant text, p_key text, p_fits json, p_told json, p_holds json, p_slowly boolean
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_settle json := nullif((p_holds -> 'settle')::text, 'null')::json;
    v_place json := nullif((p_holds -> 'place')::text, 'null')::json;
    v_levels json[] := '{}';
    v_demand record;
    v_row holdfast_budget;
BEGIN
    IF NOT (p_fits ->> 'go')::boolean THEN
        RETURN json_build_object('now', v_now, 'fits', p_fits, 'found', (
            SELECT row_to_json(e) FROM holdfast_effect AS e WHERE e.tenant = p_tenant AND e.key = p_key));
    END IF;
    IF json_typeof(p_told) = 'array' THEN
        IF (p_fits ->> 'taken')::integer > 0 THEN
            PERFORM holdfast_untake_v1(p_holds, (p_fits ->> 'taken')::integer);
        END IF;
        RETURN p_told;
    END IF;
    IF v_settle IS NOT NULL THEN
        v_levels := holdfast_settle_v1(v_now, p_tenant, p_key, v_settle);
    END IF;
    IF v_place IS NOT NULL THEN
        IF p_fits -> 'taken' IS NULL THEN
            FOR v_demand IN SELECT * FROM holdfast_demands_v1(p_holds) LOOP
                v_row := holdfast_take_v1(v_now, v_demand.owner, v_demand.account, v_demand.unit, v_demand.per, v_demand.slice,
                                          v_demand.slices, v_demand.cap, v_demand.amount, v_demand.held, v_demand.spent,
                                          p_slowly);
                IF v_demand.slice = 0 OR p_slowly THEN
                    v_levels := v_levels || CASE WHEN v_demand.slice = 0 THEN holdfast_told_v1(v_now, v_row) ELSE
                        holdfast_level_v1(v_now, v_demand.owner, v_demand.account, v_demand.unit, v_demand.per) END;
                END IF;
            END LOOP;
        END IF;
        INSERT INTO holdfast_hold (tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens,
                                   spent_money, spent_tokens, price, taken, at, settled_at)
        SELECT p_tenant, p_key, p.attempt, p.workflow_id, p.actor, p.tool, p.model, p.state::holdfast_hold_state, p.currency,
               p.money, p.tokens, CASE WHEN p.state = 'settled' THEN p.money END,
               CASE WHEN p.state = 'settled' THEN p.tokens END, p.price, p.taken, p.at,
               CASE WHEN p.state = 'settled' THEN v_now END
        FROM json_to_record(v_place) AS p (attempt bigint, workflow_id text, actor text, tool text, model text, state text,
                                           currency text, money bigint, tokens bigint, price text, taken text, at timestamptz);
    END IF;
    RETURN json_build_object('told', p_told, 'levels', coalesce(p_fits -> 'levels', array_to_json(v_levels)));
END
$$;
