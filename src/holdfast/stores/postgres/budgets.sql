-- name: lock_budgets
-- The first of a batch whose changes hold or settle: all their budgets are locked, in the order of their primary key.
SELECT holdfast_lock_budgets_v1($1, $2, $3, $4, $5, $6, $7);

-- name: insert_effect_held
-- As insert_effect does it, with a hold on budgets. Guard as well: they have room for it. Budgets are locked first, then the
-- effect.
SELECT holdfast_insert_held_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                               $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36,
                               $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54,
                               $55, $56, $57, $58);

-- name: move_effect_held
-- As move_effect does it, or move_effect_asked when questions go along, with what is held of budgets and what is settled.
-- Budgets are locked first, then approvals, then the effect.
SELECT holdfast_move_held_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                             $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36,
                             $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54,
                             $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67, $68, $69, $70, $71);

-- name: list_budgets
-- What of a window that is over was spent counts no more. A divided budget is told with all its slices.
SELECT b.owner, b.account, b.unit, b.per, max(b.cap) FILTER (WHERE b.slice = 0), max(b.raised) FILTER (WHERE b.slice = 0),
       sum(CASE WHEN b.window_start < holdfast_window_v1(b.per, coalesce(%(now)s::timestamptz, clock_timestamp())) THEN 0
                ELSE b.spent END)::bigint,
       sum(b.held)::bigint, max(b.window_start), coalesce(%(now)s::timestamptz, clock_timestamp())
FROM holdfast_budget AS b
WHERE b.owner = %(owner)s AND (%(account)s::text IS NULL OR b.account = %(account)s)
  AND (%(prefix)s::text IS NULL OR starts_with(b.account, %(prefix)s))
  AND (%(after_account)s::text IS NULL
       OR (b.account, b.unit, b.per) > (%(after_account)s::text, %(after_unit)s::text, %(after_per)s::text))
GROUP BY b.owner, b.account, b.unit, b.per
HAVING bool_or(b.slice = 0)
ORDER BY b.account, b.unit, b.per
LIMIT %(limit)s;

-- name: list_holds
-- Newest first; a NULL parameter means any. The condition that is always true admits the indexes for listings.
SELECT tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens, spent_money, spent_tokens,
       price, usage, taken, at, settled_at
FROM holdfast_hold
WHERE tenant = %(tenant)s AND at > '-infinity' AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(workflow_id)s::text IS NULL OR workflow_id = %(workflow_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s::holdfast_hold_state)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
ORDER BY at DESC, key DESC, attempt DESC
LIMIT %(limit)s;

-- name: sum_costs
-- What was spent for nothing, and why: as wasted_as says it.
WITH costs AS (
    SELECT h.tool, h.model, h.actor, h.workflow_id, h.at, h.currency, h.state, h.money, h.spent_money, h.spent_tokens,
           coalesce(e.state::text, '') AS outcome,
           CASE WHEN h.state = 'assumed' THEN 'unknown'
                WHEN h.attempt < e.attempt OR e.state = 'retryable' THEN 'retried'
                WHEN e.state IN ('failed', 'denied', 'cancelled') THEN e.state::text ELSE '' END AS waste
    FROM holdfast_hold AS h LEFT JOIN holdfast_effect AS e ON e.tenant = h.tenant AND e.key = h.key
    WHERE h.tenant = %(tenant)s AND h.at > '-infinity' AND (%(workflow_id)s::text IS NULL OR h.workflow_id = %(workflow_id)s)
      AND (%(since)s::timestamptz IS NULL OR h.at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR h.at < %(until)s)
), named AS (
    SELECT CASE %(by)s WHEN 'tool' THEN tool WHEN 'model' THEN model WHEN 'actor' THEN actor
                       WHEN 'workflow_id' THEN workflow_id WHEN 'outcome' THEN outcome WHEN 'waste' THEN waste
                       WHEN 'day' THEN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') END AS name, *
    FROM costs
)
SELECT name COLLATE "C", currency, count(*), coalesce(sum(spent_money), 0), coalesce(sum(spent_tokens), 0),
       coalesce(sum(spent_money) FILTER (WHERE state = 'assumed'), 0), coalesce(sum(money) FILTER (WHERE state = 'held'), 0),
       coalesce(sum(spent_money) FILTER (WHERE waste <> ''), 0), coalesce(sum(spent_tokens) FILTER (WHERE waste <> ''), 0)
FROM named
GROUP BY name, currency
ORDER BY name COLLATE "C", currency;

-- name: put_cap
-- Guard: what people had added is what they think.
WITH clock AS (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now)
INSERT INTO holdfast_budget AS b (
    owner, account, unit, per, slice, cap, raised, spent, held, granted, window_start, updated_at)
SELECT %(owner)s, %(account)s, %(unit)s, %(per)s::text, 0, %(cap)s, %(raised)s, 0, 0, 0, holdfast_window_v1(%(per)s::text, clock.now),
       clock.now
FROM clock
WHERE %(was)s = 0 OR EXISTS (
    SELECT 1 FROM holdfast_budget AS x
    WHERE x.owner = %(owner)s AND x.account = %(account)s AND x.unit = %(unit)s AND x.per = %(per)s::text AND x.slice = 0)
ON CONFLICT (owner, account, unit, per, slice) DO UPDATE
SET raised = excluded.raised, updated_at = excluded.updated_at
WHERE b.raised = %(was)s
RETURNING b.owner;

-- name: reap_budgets
-- What attempts cost whose effects are gone, and the budgets of workflows that nothing has touched since and that have ended.
WITH holds AS (
    DELETE FROM holdfast_hold
    WHERE (tenant, key, attempt) IN (
        SELECT h.tenant, h.key, h.attempt FROM holdfast_hold AS h
        WHERE h.tenant = %(tenant)s AND h.settled_at < %(before)s
          AND NOT EXISTS (SELECT 1 FROM holdfast_effect AS e WHERE e.tenant = h.tenant AND e.key = h.key)
        LIMIT %(limit)s)
    RETURNING 1
),
old AS (
    SELECT x.owner, x.account, x.unit, x.per FROM holdfast_budget AS x
    WHERE x.owner = %(tenant)s AND starts_with(x.account, 'workflow:')
      AND NOT EXISTS (SELECT 1 FROM holdfast_execution AS e
                      WHERE e.tenant = x.owner AND e.workflow_id = substr(x.account, 10) AND e.ended_at IS NULL)
    GROUP BY x.owner, x.account, x.unit, x.per
    HAVING sum(x.held) = 0 AND max(x.updated_at) < %(before)s
    LIMIT %(limit)s),
locked AS MATERIALIZED (  -- in the order in which everybody locks budgets
    SELECT x.owner, x.account, x.unit, x.per, x.slice
    FROM holdfast_budget AS x JOIN old USING (owner, account, unit, per)
    ORDER BY x.owner, x.account, x.unit, x.per, x.slice
    FOR UPDATE OF x),
budgets AS (
    DELETE FROM holdfast_budget AS b
    USING locked AS l
    WHERE b.owner = l.owner AND b.account = l.account AND b.unit = l.unit AND b.per = l.per AND b.slice = l.slice
      AND b.held = 0 AND b.updated_at < %(before)s
    RETURNING b.slice
)
SELECT 1 FROM holds UNION ALL SELECT 1 FROM budgets WHERE slice = 0;
