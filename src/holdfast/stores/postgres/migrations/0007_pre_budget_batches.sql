-- Claims and records under budgets share a transaction with others, and cost less: typed parameters, one function for each,
-- and no index that a settlement has to rewrite. Locks are as they were: budgets by their primary key, then approvals, then
-- effects. A batch locks all budgets of all its changes first, in that order.
DROP INDEX holdfast_hold_open, holdfast_hold_newest, holdfast_hold_workflow;

-- For listings. Their condition is always true, and only listings repeat it: without it the planner would take one of these
-- for a look-up by key while the table has no statistics, and read every hold of the tenant. None names what a settlement
-- changes.
CREATE INDEX holdfast_hold_by_time ON holdfast_hold (tenant, at, key, attempt) WHERE at > '-infinity';
CREATE INDEX holdfast_hold_by_workflow ON holdfast_hold (tenant, workflow_id, at) WHERE at > '-infinity';

-- A CHECK is parsed again for each statement that writes; a type is not.
CREATE DOMAIN holdfast_per AS text COLLATE "C" CHECK (VALUE IN ('', 'minute', 'hour', 'day', 'month'));
CREATE DOMAIN holdfast_slice AS integer CHECK (VALUE >= 0);
ALTER TABLE holdfast_budget
    DROP CONSTRAINT holdfast_budget_per_check,
    DROP CONSTRAINT holdfast_budget_slice_check,
    ALTER COLUMN per TYPE holdfast_per,
    ALTER COLUMN slice TYPE holdfast_slice;

-- Budgets travel as two arrays: four words for each (owner, account, unit, per), and six numbers (slice, slices, cap, amount,
-- what is held, what is spent at once).
CREATE FUNCTION holdfast_demands_v2(p_words text[], p_numbers bigint[])
RETURNS TABLE (owner text, account text, unit text, per text, slice integer, slices integer, cap bigint, amount bigint,
               held bigint, spent bigint)
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_words[4 * n - 3], p_words[4 * n - 2], p_words[4 * n - 1], p_words[4 * n], p_numbers[6 * n - 5]::integer,
           p_numbers[6 * n - 4]::integer, p_numbers[6 * n - 3], p_numbers[6 * n - 2], p_numbers[6 * n - 1], p_numbers[6 * n]
    FROM generate_series(1, cardinality(p_numbers) / 6) AS n
$$;

-- The holds that a settlement is about, and what they have of which budgets. *p_basis* is NULL when nothing is settled.
CREATE FUNCTION holdfast_settled_v2(p_tenant text, p_key text, p_attempt bigint, p_basis text)
RETURNS TABLE (attempt bigint, state holdfast_hold_state, settled_at timestamptz, owner text, account text, unit text, per text,
               slice integer, amount bigint, returns boolean)
LANGUAGE sql STABLE AS $$
    SELECT h.attempt, h.state, h.settled_at, t.of ->> 0, t.of ->> 1, t.of ->> 2, t.of ->> 3, (t.of ->> 6)::integer,
           (t.of ->> 4)::bigint, (t.of ->> 5)::boolean
    FROM holdfast_hold AS h, json_array_elements(h.taken::json) AS t (of)
    WHERE p_basis IS NOT NULL AND h.tenant = p_tenant AND h.key = p_key
      AND (h.state = 'held' OR (h.state = 'assumed' AND p_basis <> 'bound'))
      AND h.attempt = coalesce(p_attempt, h.attempt)
$$;

-- What ending an attempt spends of a unit of which it holds *p_bound*.
CREATE FUNCTION holdfast_spent_v2(p_basis text, p_units text[], p_amounts bigint[], p_unit text, p_bound bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_basis WHEN 'bound' THEN p_bound WHEN 'nothing' THEN 0
           ELSE coalesce(p_amounts[array_position(p_units, p_unit)], p_bound) END
$$;

-- Lock one budget's row; when there is none and one is needed, its place, so that nobody else makes it meanwhile. Whoever
-- locks several does so in the order of their primary key, a place where its row would be.
CREATE FUNCTION holdfast_lock_budget_v1(
    p_owner text, p_account text, p_unit text, p_per text, p_slice integer, p_needed boolean
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM holdfast_budget AS b
    WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice = p_slice
    FOR NO KEY UPDATE;
    IF NOT FOUND AND p_needed AND p_slice = 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(
            concat_ws(chr(31), p_owner, p_account, p_unit, p_per), 'holdfast_budget'::regclass::oid::bigint));
        PERFORM 1 FROM holdfast_budget AS b
        WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice = 0
        FOR NO KEY UPDATE;
    END IF;
END
$$;

-- Lock the budgets of a batch before anything else of it: those that its claims need, and those that its effects' attempts
-- have something of. Up to the first that is not there they are locked in one go.
CREATE FUNCTION holdfast_lock_budgets_v1(
    p_owners text[], p_accounts text[], p_units text[], p_pers text[], p_slices bigint[], p_tenants text[], p_keys text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_missing record;
    v_place record;
BEGIN
    SELECT d.owner, d.account, d.unit, d.per, d.slice INTO v_missing
    FROM unnest(p_owners, p_accounts, p_units, p_pers, p_slices) AS d (owner, account, unit, per, slice)
    WHERE NOT EXISTS (
        SELECT 1 FROM holdfast_budget AS b
        WHERE b.owner = d.owner AND b.account = d.account AND b.unit = d.unit AND b.per = d.per AND b.slice = d.slice)
    ORDER BY d.owner COLLATE "C", d.account COLLATE "C", d.unit COLLATE "C", d.per COLLATE "C", d.slice
    LIMIT 1;
    PERFORM 1
    FROM (SELECT d.owner, d.account, d.unit, d.per, d.slice::integer AS slice
          FROM unnest(p_owners, p_accounts, p_units, p_pers, p_slices) AS d (owner, account, unit, per, slice)
          UNION
          SELECT s.owner, s.account, s.unit, s.per, s.slice
          FROM unnest(p_tenants, p_keys) AS k (tenant, key), holdfast_settled_v2(k.tenant, k.key, NULL, 'nothing') AS s) AS p
    JOIN holdfast_budget AS b USING (owner, account, unit, per, slice)
    WHERE v_missing.owner IS NULL OR (b.owner, b.account, b.unit, b.per, b.slice)
        < (v_missing.owner, v_missing.account, v_missing.unit, v_missing.per, v_missing.slice)
    ORDER BY b.owner, b.account, b.unit, b.per, b.slice
    FOR NO KEY UPDATE OF b;
    IF v_missing.owner IS NULL THEN
        RETURN;
    END IF;
    FOR v_place IN
        SELECT p.owner, p.account, p.unit, p.per, p.slice, bool_or(p.needed) AS needed
        FROM (SELECT d.owner, d.account, d.unit, d.per, d.slice::integer AS slice, true AS needed
              FROM unnest(p_owners, p_accounts, p_units, p_pers, p_slices) AS d (owner, account, unit, per, slice)
              UNION ALL
              SELECT s.owner, s.account, s.unit, s.per, s.slice, false
              FROM unnest(p_tenants, p_keys) AS k (tenant, key),
                   holdfast_settled_v2(k.tenant, k.key, NULL, 'nothing') AS s) AS p
        WHERE (p.owner COLLATE "C", p.account COLLATE "C", p.unit COLLATE "C", p.per COLLATE "C", p.slice)
            >= (v_missing.owner, v_missing.account, v_missing.unit, v_missing.per, v_missing.slice)
        GROUP BY p.owner, p.account, p.unit, p.per, p.slice
        ORDER BY p.owner COLLATE "C", p.account COLLATE "C", p.unit COLLATE "C", p.per COLLATE "C", p.slice
    LOOP
        PERFORM holdfast_lock_budget_v1(v_place.owner, v_place.account, v_place.unit, v_place.per, v_place.slice,
                                        v_place.needed);
    END LOOP;
END
$$;

-- Give back what the first *p_count* demands took; their rows are still locked.
CREATE FUNCTION holdfast_untake_v2(p_words text[], p_numbers bigint[], p_count integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. p_count LOOP
        UPDATE holdfast_budget AS b SET held = b.held - p_numbers[6 * i - 1], spent = b.spent - p_numbers[6 * i]
        WHERE b.owner = p_words[4 * i - 3] AND b.account = p_words[4 * i - 2] AND b.unit = p_words[4 * i - 1]
          AND b.per = p_words[4 * i] AND b.slice = p_numbers[6 * i - 5];
    END LOOP;
END
$$;

-- A budget as it is, all its slices together, in the window that has begun, in numbers: cap, what people added, spent, held,
-- and when the window began, in microseconds since 1970.
CREATE FUNCTION holdfast_numbers_v1(p_now timestamptz, p_owner text, p_account text, p_unit text, p_per text)
RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY[
        max(b.cap) FILTER (WHERE b.slice = 0), max(b.raised) FILTER (WHERE b.slice = 0),
        sum(CASE WHEN b.window_start < holdfast_window_v1(p_per, p_now) THEN 0 ELSE b.spent END)::bigint,
        sum(b.held)::bigint, (extract(epoch FROM max(b.window_start)) * 1000000)::bigint]
    FROM holdfast_budget AS b
    WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per
$$;

-- What nearly every claim comes to: its budgets are there, as code declares them, in a window that has begun, with room for
-- it. They are locked, looked at and taken of in one go, one after the other; giving that back leaves no trace. Answers
-- how full they are then, each as holdfast_numbers_v1 has it (of a slice nothing is told); NULL: it is not like that, and
-- nothing was taken.
CREATE FUNCTION holdfast_take_all_v2(p_now timestamptz, p_words text[], p_numbers bigint[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    v_level bigint[];
    v_levels bigint[] := '{}';
BEGIN
    FOR i IN 1 .. cardinality(p_numbers) / 6 LOOP
        UPDATE holdfast_budget AS b
        SET held = b.held + p_numbers[6 * i - 1], spent = b.spent + p_numbers[6 * i], updated_at = p_now
        WHERE b.owner = p_words[4 * i - 3] AND b.account = p_words[4 * i - 2] AND b.unit = p_words[4 * i - 1]
          AND b.per = p_words[4 * i] AND b.slice = p_numbers[6 * i - 5]
          AND (b.cap = p_numbers[6 * i - 3] OR b.slice > 0)
          AND (b.per = '' OR b.window_start >= date_trunc(b.per, p_now, 'UTC'))
          AND b.spent + b.held + b.granted + p_numbers[6 * i - 2] <= b.cap + b.raised  -- people add to slice 0 only
        RETURNING CASE WHEN b.slice > 0 THEN '{}' WHEN b.granted = 0 THEN ARRAY[
            b.cap, b.raised, b.spent, b.held, (extract(epoch FROM b.window_start) * 1000000)::bigint]
        ELSE holdfast_numbers_v1(p_now, b.owner, b.account, b.unit, b.per) END INTO v_level;
        IF NOT FOUND THEN
            IF i > 1 THEN
                PERFORM holdfast_untake_v2(p_words, p_numbers, i - 1);
            END IF;
            RETURN NULL;
        END IF;
        v_levels := v_levels || v_level;
    END LOOP;
    RETURN v_levels;
END
$$;

-- Lock all budgets that a change concerns, one after the other in their order, and say which of them has no room for it, or
-- that it has to be looked at *p_slowly*, which locks all slices of a divided budget. NULL: it fits. Nothing is written; a
-- budget that is not there yet is kept for the first who asked by a lock of its place.
CREATE FUNCTION holdfast_fits_v2(
    p_now timestamptz, p_tenant text, p_key text, p_words text[], p_numbers bigint[], p_attempt bigint, p_basis text,
    p_units text[], p_amounts bigint[], p_slowly boolean
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_place record;
    v_demand record;
    v_window timestamptz;
    v_known record;
    v_freed bigint;
BEGIN
    FOR v_place IN
        SELECT p.owner, p.account, p.unit, p.per, p.slice, bool_or(p.needed) AS needed
        FROM (SELECT s.owner, s.account, s.unit, s.per, s.slice, false AS needed
              FROM holdfast_settled_v2(p_tenant, p_key, p_attempt, p_basis) AS s
              UNION ALL SELECT d.owner, d.account, d.unit, d.per, CASE WHEN p_slowly THEN 0 ELSE d.slice END, true
              FROM holdfast_demands_v2(p_words, p_numbers) AS d) AS p
        GROUP BY p.owner, p.account, p.unit, p.per, p.slice
        ORDER BY p.owner COLLATE "C", p.account COLLATE "C", p.unit COLLATE "C", p.per COLLATE "C", p.slice
    LOOP
        PERFORM holdfast_lock_budget_v1(v_place.owner, v_place.account, v_place.unit, v_place.per, v_place.slice,
                                        v_place.needed);
        IF p_slowly AND v_place.needed THEN  -- whoever makes a slice has the whole's lock
            PERFORM 1 FROM holdfast_budget AS b
            WHERE b.owner = v_place.owner AND b.account = v_place.account AND b.unit = v_place.unit AND b.per = v_place.per
            ORDER BY b.slice FOR NO KEY UPDATE;
        END IF;
    END LOOP;
    FOR v_demand IN SELECT * FROM holdfast_demands_v2(p_words, p_numbers) LOOP
        v_window := holdfast_window_v1(v_demand.per, p_now);
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
                RETURN '{"again": true}';
            END IF;
            CONTINUE;
        END IF;
        IF v_demand.slice = 0 AND NOT p_slowly AND v_known.granted > 0 THEN
            RETURN '{"again": true}';
        END IF;
        SELECT coalesce(sum(s.amount - CASE WHEN s.returns THEN 0
                                            ELSE holdfast_spent_v2(p_basis, p_units, p_amounts, s.unit, s.amount) END), 0)
        INTO v_freed
        FROM holdfast_settled_v2(p_tenant, p_key, p_attempt, p_basis) AS s
        WHERE s.state = 'held' AND s.owner = v_demand.owner AND s.account = v_demand.account AND s.unit = v_demand.unit
          AND s.per = v_demand.per;
        IF v_known.used - v_freed + v_demand.amount > v_demand.cap + v_known.raised THEN
            RETURN json_build_object('amount', v_demand.amount, 'cap', v_demand.cap, 'refused', coalesce(
                holdfast_level_v1(p_now, v_demand.owner, v_demand.account, v_demand.unit, v_demand.per),
                json_build_array(v_demand.owner, v_demand.account, v_demand.unit, v_demand.per, v_demand.cap, 0, 0, 0,
                                 v_window)));
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Take of each budget what was found to fit; all are locked.
CREATE FUNCTION holdfast_take_each_v2(p_now timestamptz, p_words text[], p_numbers bigint[], p_slowly boolean) RETURNS json[]
LANGUAGE plpgsql AS $$
DECLARE
    v_demand record;
    v_row holdfast_budget;
    v_levels json[] := '{}';
BEGIN
    FOR v_demand IN SELECT * FROM holdfast_demands_v2(p_words, p_numbers) LOOP
        v_row := holdfast_take_v1(p_now, v_demand.owner, v_demand.account, v_demand.unit, v_demand.per, v_demand.slice,
                                  v_demand.slices, v_demand.cap, v_demand.amount, v_demand.held, v_demand.spent, p_slowly);
        IF v_demand.slice = 0 OR p_slowly THEN
            v_levels := v_levels || CASE WHEN v_demand.slice = 0 THEN holdfast_told_v1(p_now, v_row) ELSE
                holdfast_level_v1(p_now, v_demand.owner, v_demand.account, v_demand.unit, v_demand.per) END;
        END IF;
    END LOOP;
    RETURN v_levels;
END
$$;

-- What ending an attempt does to one of its budgets: what it held is free again, what it spent is not. What was assumed is
-- corrected in the window that it was counted in.
CREATE FUNCTION holdfast_shift_v1(
    p_now timestamptz, p_owner text, p_account text, p_unit text, p_per text, p_slice integer, p_state holdfast_hold_state,
    p_settled_at timestamptz, p_bound bigint, p_returns boolean, p_amount bigint
) RETURNS holdfast_budget LANGUAGE plpgsql AS $$
DECLARE
    v_window timestamptz := holdfast_window_v1(p_per, p_now);
    v_row holdfast_budget;
BEGIN
    UPDATE holdfast_budget AS b
    SET held = CASE WHEN p_state = 'held' THEN greatest(b.held - p_bound, 0) ELSE b.held END,
        spent = CASE
            WHEN p_state = 'held' THEN greatest(CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END + p_amount, 0)
            WHEN p_returns OR greatest(b.window_start, v_window) <> holdfast_window_v1(p_per, p_settled_at) THEN
                CASE WHEN b.window_start < v_window THEN 0 ELSE b.spent END
            ELSE greatest(b.spent + p_amount - p_bound, 0) END,
        window_start = greatest(b.window_start, v_window),
        updated_at = p_now
    WHERE b.owner = p_owner AND b.account = p_account AND b.unit = p_unit AND b.per = p_per AND b.slice = p_slice
    RETURNING b.* INTO v_row;
    RETURN v_row;  -- nothing when the budget is gone
END
$$;

-- Settle with holdfast_shift_v1 what an attempt held of one budget, *p_of* as its hold tells it, and answer how full that
-- is, as holdfast_take_all_v2 does; of a slice nothing.
CREATE FUNCTION holdfast_shifted_v1(p_now timestamptz, p_of json, p_bound bigint, p_amount bigint) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    v_row holdfast_budget;
BEGIN
    v_row := holdfast_shift_v1(p_now, p_of ->> 0, p_of ->> 1, p_of ->> 2, p_of ->> 3, (p_of ->> 6)::integer, 'held', NULL,
                               p_bound, p_of ->> 5 = 'true', p_amount);
    RETURN CASE WHEN (p_of ->> 6)::integer > 0 THEN '{}' WHEN v_row.granted = 0 THEN ARRAY[
        v_row.cap, v_row.raised, v_row.spent, v_row.held, (extract(epoch FROM v_row.window_start) * 1000000)::bigint]
    ELSE holdfast_numbers_v1(p_now, p_of ->> 0, p_of ->> 1, p_of ->> 2, p_of ->> 3) END;
END
$$;

-- Settle the one hold that nearly every settlement is about: it is held, its window has not ended, and its budgets are there
-- in the order of their locks. What is not like that is written by holdfast_shift_v1. Answers as
-- holdfast_take_all_v2 does; a budget that is gone is told by NULLs.
CREATE FUNCTION holdfast_settle_one_v1(
    p_now timestamptz, p_tenant text, p_key text, p_attempt bigint, p_taken json, p_basis text, p_units text[],
    p_amounts bigint[], p_usage text
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_of json;
    v_unit text;
    v_bound bigint;
    v_amount bigint;
    v_level bigint[];
    v_levels bigint[] := '{}';
BEGIN
    FOR i IN 0 .. json_array_length(p_taken) - 1 LOOP
        v_of := p_taken -> i;
        v_unit := v_of ->> 2;
        v_bound := v_of ->> 4;
        v_amount := CASE WHEN v_of ->> 5 = 'true' THEN 0
                         ELSE holdfast_spent_v2(p_basis, p_units, p_amounts, v_unit, v_bound) END;
        UPDATE holdfast_budget AS b
        SET held = b.held - v_bound, spent = b.spent + v_amount, updated_at = p_now
        WHERE b.owner = v_of ->> 0 AND b.account = v_of ->> 1 AND b.unit = v_unit AND b.per = v_of ->> 3
          AND b.slice = (v_of ->> 6)::integer AND (b.per = '' OR b.window_start >= date_trunc(b.per, p_now, 'UTC'))
          AND b.held >= v_bound AND b.spent + v_amount >= 0
        RETURNING CASE WHEN b.slice > 0 THEN '{}' WHEN b.granted = 0 THEN ARRAY[
            b.cap, b.raised, b.spent, b.held, (extract(epoch FROM b.window_start) * 1000000)::bigint]
        ELSE holdfast_numbers_v1(p_now, b.owner, b.account, b.unit, b.per) END INTO v_level;
        IF NOT FOUND THEN
            v_level := holdfast_shifted_v1(p_now, v_of, v_bound, v_amount);
        END IF;
        v_levels := v_levels || v_level;
    END LOOP;
    UPDATE holdfast_hold AS h
    SET state = CASE p_basis WHEN 'bound' THEN 'assumed' WHEN 'actual' THEN 'settled' ELSE 'released' END::holdfast_hold_state,
        spent_money = holdfast_spent_v2(p_basis, p_units, p_amounts, h.currency, h.money),
        spent_tokens = holdfast_spent_v2(p_basis, p_units, p_amounts, 'tokens', h.tokens),
        usage = coalesce(p_usage, h.usage), settled_at = p_now
    WHERE h.tenant = p_tenant AND h.key = p_key AND h.attempt = p_attempt;
    RETURN v_levels;
END
$$;

-- Settle what an effect's attempts hold; all their budgets are locked.
CREATE FUNCTION holdfast_settle_v2(
    p_now timestamptz, p_tenant text, p_key text, p_attempt bigint, p_basis text, p_units text[], p_amounts bigint[],
    p_usage text
) RETURNS json[] LANGUAGE plpgsql AS $$
DECLARE
    v_taken record;
    v_row holdfast_budget;
    v_levels json[] := '{}';
BEGIN
    FOR v_taken IN SELECT * FROM holdfast_settled_v2(p_tenant, p_key, p_attempt, p_basis) LOOP
        v_row := holdfast_shift_v1(
            p_now, v_taken.owner, v_taken.account, v_taken.unit, v_taken.per, v_taken.slice, v_taken.state,
            v_taken.settled_at, v_taken.amount, v_taken.returns,
            CASE WHEN v_taken.returns THEN 0
                 ELSE holdfast_spent_v2(p_basis, p_units, p_amounts, v_taken.unit, v_taken.amount) END);
        IF v_row.slice = 0 THEN
            v_levels := v_levels || holdfast_told_v1(p_now, v_row);
        END IF;
    END LOOP;
    UPDATE holdfast_hold AS h
    SET state = CASE p_basis WHEN 'bound' THEN 'assumed' WHEN 'actual' THEN 'settled' ELSE 'released' END::holdfast_hold_state,
        spent_money = holdfast_spent_v2(p_basis, p_units, p_amounts, h.currency, h.money),
        spent_tokens = holdfast_spent_v2(p_basis, p_units, p_amounts, 'tokens', h.tokens),
        usage = coalesce(p_usage, h.usage), settled_at = p_now
    WHERE h.tenant = p_tenant AND h.key = p_key
      AND (h.state = 'held' OR (h.state = 'assumed' AND p_basis <> 'bound'))
      AND h.attempt = coalesce(p_attempt, h.attempt);
    RETURN v_levels;
END
$$;

-- As holdfast_insert_v2, with a hold on budgets. Guard as well: they have room for it. A replay is told first and locks none.
-- *p_slowly*: all slices of divided budgets are looked at, because the first answer was to do so; never in a batch, whose
-- other budgets are locked.
CREATE FUNCTION holdfast_insert_held_v1(
    p_now timestamptz, p_tenant text, p_key text, p_workflow_id text, p_tool text, p_intent text,
    p_safety holdfast_safety, p_fingerprint text, p_args text, p_call_id text, p_actor text, p_state holdfast_state,
    p_attempt integer, p_owner text, p_lease_s double precision, p_timeout_s double precision,
    p_has_outcome boolean, p_result text, p_result_gap text, p_error text, p_at timestamptz, p_audit_hash bytea,
    p_review integer, p_dependency text, p_obeys boolean, p_epoch bigint, p_untold boolean, p_undoes text, p_external_id text,
    p_stop text,
    a_seq integer, a_event holdfast_event, a_state holdfast_state, a_fence bigint, a_attempt integer, a_actor text,
    a_at timestamptz, a_body text, a_salt bytea, a_content_hash bytea, a_prev bytea, a_hash bytea, a_keyed boolean,
    p_words text[], p_numbers bigint[], h_attempt bigint, h_state holdfast_hold_state, h_workflow_id text, h_actor text,
    h_tool text, h_model text, h_currency text, h_money bigint, h_tokens bigint, h_price text, h_taken text, h_at timestamptz,
    p_slowly boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_fits json;
    v_numbers bigint[];
    v_levels json[];
    v_is_taken boolean := false;
    v_is_looked_at boolean := false;
BEGIN
    LOOP
        PERFORM 1 FROM holdfast_effect AS e WHERE e.tenant = p_tenant AND e.key = p_key;
        IF FOUND THEN
            IF v_is_taken THEN  -- a racing insert has won
                PERFORM holdfast_untake_v2(p_words, p_numbers, cardinality(p_numbers) / 6);
            END IF;
            RETURN holdfast_present_v1(v_now, p_tenant, p_key);
        END IF;
        IF NOT v_is_looked_at THEN
            v_is_looked_at := true;
            IF NOT p_slowly THEN
                v_numbers := holdfast_take_all_v2(v_now, p_words, p_numbers);
                v_is_taken := v_numbers IS NOT NULL;
            END IF;
            IF NOT v_is_taken THEN
                v_fits := holdfast_fits_v2(
                    v_now, p_tenant, p_key, p_words, p_numbers, NULL, NULL, NULL, NULL, p_slowly);
                IF v_fits IS NOT NULL THEN
                    RETURN json_build_object('now', v_now, 'fits', v_fits, 'found', NULL);
                END IF;
            END IF;
        END IF;
        IF ((p_obeys OR p_dependency IS NOT NULL OR p_epoch IS NOT NULL)
            AND holdfast_refuses_v1(p_tenant, p_dependency, p_obeys, p_epoch, p_workflow_id))
           OR (p_untold AND EXISTS (SELECT 1 FROM holdfast_signal AS s
                                    WHERE s.tenant = p_tenant AND s.subject = p_key AND s.outcome = 'done')) THEN
            IF v_is_taken THEN
                PERFORM holdfast_untake_v2(p_words, p_numbers, cardinality(p_numbers) / 6);
            END IF;
            RETURN json_build_array(v_now, NULL::json);  -- the key is new, so it is the claim that was not admitted
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
    END LOOP;
    IF p_review IS NOT NULL THEN
        PERFORM holdfast_review_v2(p_tenant, p_workflow_id, p_review, p_at, p_stop, p_key, false);
    END IF;
    INSERT INTO holdfast_audit (
        tenant, key, seq, event, state, fence, attempt, actor, at, body, salt, content_hash, prev, hash, keyed)
    VALUES (
        p_tenant, p_key, a_seq, a_event, a_state, a_fence, a_attempt, a_actor, a_at, a_body, a_salt, a_content_hash,
        a_prev, a_hash, a_keyed);
    IF NOT v_is_taken THEN
        v_levels := holdfast_take_each_v2(v_now, p_words, p_numbers, p_slowly);
    END IF;
    INSERT INTO holdfast_hold (tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens,
                               spent_money, spent_tokens, price, taken, at, settled_at)
    VALUES (p_tenant, p_key, h_attempt, h_workflow_id, h_actor, h_tool, h_model, h_state, h_currency, h_money, h_tokens,
            CASE WHEN h_state = 'settled' THEN h_money END, CASE WHEN h_state = 'settled' THEN h_tokens END, h_price, h_taken,
            h_at, CASE WHEN h_state = 'settled' THEN v_now END);
    IF v_is_taken THEN
        RETURN format('{"told":%s,"numbers":%s}', to_json(v_now), array_to_json(v_numbers));
    END IF;
    RETURN json_build_object('told', v_now, 'levels', array_to_json(v_levels));
END
$$;

-- As holdfast_move_v2 and what wakes and asks along with it, with what is held of budgets and what is settled. *h_attempt* is NULL when nothing is held, *s_basis* when nothing is settled.
CREATE FUNCTION holdfast_move_held_v1(
    p_now timestamptz, p_tenant text, p_key text, p_frm holdfast_state, p_to holdfast_state, p_fence bigint,
    p_prev bytea, p_lease_over boolean, p_claims boolean, p_owner text, p_safety holdfast_safety,
    p_lease_s double precision, p_timeout_s double precision, p_has_outcome boolean, p_result text, p_result_gap text,
    p_error text, p_ends_attempt boolean, p_fence_step integer, p_attempt_step integer, p_at timestamptz,
    p_audit_hash bytea, p_review integer, p_workflow_id text, p_dependency text, p_obeys boolean, p_epoch bigint,
    p_uncertain boolean,
    p_spent boolean, p_delay_s double precision, p_renews boolean, p_unstarted boolean, p_external_id text,
    p_stop text, p_stopped_by text, p_resumes boolean,
    a_seq integer, a_event holdfast_event, a_state holdfast_state, a_fence bigint, a_attempt integer, a_actor text,
    a_at timestamptz, a_body text, a_salt bytea, a_content_hash bytea, a_prev bytea, a_hash bytea, a_keyed boolean,
    p_words text[], p_numbers bigint[], h_attempt bigint, h_state holdfast_hold_state, h_workflow_id text, h_actor text,
    h_tool text, h_model text, h_currency text, h_money bigint, h_tokens bigint, h_price text, h_taken text, h_at timestamptz,
    s_attempt bigint, s_basis text, s_units text[], s_amounts bigint[], s_usage text,
    p_asked json, p_wakes boolean, p_slowly boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_taken json;
    v_fits json;
    v_numbers bigint[];
    v_levels json[];
    v_is_taken boolean := false;
    v_is_settled boolean := false;
    v_joined boolean;
    v_refused boolean := false;
    v_told json;
BEGIN
    -- What does not hold now will not hold later: each move makes another trail, and a claim that is over stays over.
    SELECT h.taken::json INTO v_taken
    FROM holdfast_effect AS e
    LEFT JOIN holdfast_hold AS h
        ON h.tenant = p_tenant AND h.key = p_key AND h.attempt = s_attempt AND h.state = 'held'
    WHERE e.tenant = p_tenant AND e.key = p_key AND e.state = p_frm AND e.fence = p_fence AND e.audit_hash = p_prev
      AND (NOT p_lease_over OR e.lease_until <= v_now);
    IF NOT FOUND THEN
        RETURN holdfast_present_v1(v_now, p_tenant, p_key);
    END IF;
    IF h_attempt IS NOT NULL THEN
        IF s_basis IS NULL AND NOT p_slowly THEN
            v_numbers := holdfast_take_all_v2(v_now, p_words, p_numbers);
            v_is_taken := v_numbers IS NOT NULL;
        END IF;
        IF NOT v_is_taken THEN
            v_fits := holdfast_fits_v2(
                v_now, p_tenant, p_key, p_words, p_numbers, s_attempt, s_basis, s_units, s_amounts, p_slowly);
        END IF;
    ELSIF v_taken IS NOT NULL AND NOT p_slowly AND p_asked IS NULL THEN
        -- One attempt's budgets are in their order: they need not be locked before they are written.
        v_numbers := holdfast_settle_one_v1(v_now, p_tenant, p_key, s_attempt, v_taken, s_basis, s_units, s_amounts, s_usage);
        v_is_settled := true;
    ELSE
        v_fits := holdfast_fits_v2(v_now, p_tenant, p_key, p_words, p_numbers, s_attempt, s_basis, s_units, s_amounts, false);
    END IF;
    IF v_fits IS NOT NULL THEN
        RETURN json_build_object('now', v_now, 'fits', v_fits, 'found', (
            SELECT row_to_json(e) FROM holdfast_effect AS e WHERE e.tenant = p_tenant AND e.key = p_key));
    END IF;
    IF p_obeys OR p_dependency IS NOT NULL OR p_epoch IS NOT NULL THEN
        v_refused := holdfast_refuses_v1(p_tenant, p_dependency, p_obeys, p_epoch, p_workflow_id);
    END IF;
    IF p_asked IS NOT NULL AND NOT holdfast_approvals_hold_v1(v_now, p_asked) THEN
        v_refused := true;
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
        IF v_is_settled THEN  -- whoever asks again is told by whom
            RAISE EXCEPTION 'the effect was moved while its budgets were waited for' USING ERRCODE = 'serialization_failure';
        END IF;
        IF v_is_taken THEN
            PERFORM holdfast_untake_v2(p_words, p_numbers, cardinality(p_numbers) / 6);
        END IF;
        RETURN holdfast_present_v1(v_now, p_tenant, p_key);
    END IF;
    IF v_joined AND p_fence_step > 0 THEN
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
    v_told := to_json(v_now);
    IF p_review < 0 OR p_resumes OR p_wakes THEN
        v_told := holdfast_woken_v1(v_told, p_tenant, p_workflow_id, p_review, true, p_at);
    END IF;
    IF p_asked IS NOT NULL THEN
        v_told := holdfast_write_approvals_v1(v_told, p_asked);
    END IF;
    IF s_basis IS NOT NULL AND NOT v_is_settled THEN
        v_levels := holdfast_settle_v2(v_now, p_tenant, p_key, s_attempt, s_basis, s_units, s_amounts, s_usage);
    END IF;
    IF h_attempt IS NOT NULL THEN
        IF NOT v_is_taken THEN
            v_levels := v_levels || holdfast_take_each_v2(v_now, p_words, p_numbers, p_slowly);
        END IF;
        INSERT INTO holdfast_hold (tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens,
                                   spent_money, spent_tokens, price, taken, at, settled_at)
        VALUES (p_tenant, p_key, h_attempt, h_workflow_id, h_actor, h_tool, h_model, h_state, h_currency, h_money, h_tokens,
                CASE WHEN h_state = 'settled' THEN h_money END, CASE WHEN h_state = 'settled' THEN h_tokens END, h_price,
                h_taken, h_at, CASE WHEN h_state = 'settled' THEN v_now END);
    END IF;
    IF v_is_settled THEN
        RETURN format('{"told":%s,"numbers":%s,"taken":%s}', v_told, array_to_json(v_numbers), v_taken);
    END IF;
    IF v_is_taken THEN
        RETURN format('{"told":%s,"numbers":%s}', v_told, array_to_json(v_numbers));
    END IF;
    RETURN json_build_object('told', v_told, 'levels', array_to_json(coalesce(v_levels, '{}')));
END
$$;
