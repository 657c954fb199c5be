-- Budgets: what holds take of them, and what they spend. Whoever writes has the write lock.

-- name: get_budget
SELECT owner, account, unit, per, cap, raised, spent, held, window_start FROM holdfast_budget
WHERE owner = :owner AND account = :account AND unit = :unit AND per = :per;

-- name: take_budget
-- Guard: the cap is not passed. What is held in a window that is over is held in the next one too; what was spent is not.
INSERT INTO holdfast_budget (owner, account, unit, per, cap, raised, spent, held, window_start, updated_at)
SELECT :owner, :account, :unit, :per, :cap, 0, :spent, :held, :window, :now WHERE :amount <= :cap
    OR EXISTS (SELECT 1 FROM holdfast_budget AS b
               WHERE b.owner = :owner AND b.account = :account AND b.unit = :unit AND b.per = :per)
ON CONFLICT DO UPDATE
SET cap = excluded.cap,
    held = held + :held,
    spent = CASE WHEN window_start < excluded.window_start THEN 0 ELSE spent END + :spent,
    window_start = max(window_start, excluded.window_start),
    updated_at = excluded.updated_at
WHERE CASE WHEN window_start < excluded.window_start THEN 0 ELSE spent END + held + :amount <= excluded.cap + raised
RETURNING owner, account, unit, per, cap, raised, spent, held, window_start;

-- name: shift_budget
-- An attempt has ended: what it held is free again, what it spent is not. A correction holds in the window of what it corrects.
UPDATE holdfast_budget
SET held = max(0, held - :held),
    spent = CASE WHEN :corrects AND max(window_start, :window) <> :settled_window
                     THEN CASE WHEN window_start < :window THEN 0 ELSE spent END
                 ELSE max(0, CASE WHEN window_start < :window THEN 0 ELSE spent END + :spent) END,
    window_start = max(window_start, :window),
    updated_at = :now
WHERE owner = :owner AND account = :account AND unit = :unit AND per = :per
RETURNING owner, account, unit, per, cap, raised, spent, held, window_start;

-- name: place_hold
INSERT INTO holdfast_hold (
    tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens, spent_money, spent_tokens, price,
    taken, at, settled_at)
VALUES (
    :tenant, :key, :attempt, :workflow_id, :actor, :tool, :model, :state, :currency, :money, :tokens, :spent_money,
    :spent_tokens, :price, :taken, :at, :settled_at);

-- name: get_holds
SELECT tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens, spent_money, spent_tokens,
       price, usage, taken, at, settled_at
FROM holdfast_hold
WHERE tenant = :tenant AND key = :key AND state IN ('held', 'assumed')
ORDER BY attempt;

-- name: settle_hold
UPDATE holdfast_hold
SET state = :state, spent_money = :spent_money, spent_tokens = :spent_tokens, usage = coalesce(:usage, usage),
    settled_at = :now
WHERE tenant = :tenant AND key = :key AND attempt = :attempt;

-- name: list_budgets
SELECT owner, account, unit, per, cap, raised, spent, held, window_start FROM holdfast_budget
WHERE owner = :owner AND (:account IS NULL OR account = :account)
  AND (:prefix IS NULL OR substr(account, 1, length(:prefix)) = :prefix)
  AND (:after_account IS NULL OR (account, unit, per) > (:after_account, :after_unit, :after_per))
ORDER BY account, unit, per
LIMIT :limit;

-- name: list_holds
-- Newest first; a NULL parameter means any.
SELECT tenant, key, attempt, workflow_id, actor, tool, model, state, currency, money, tokens, spent_money, spent_tokens,
       price, usage, taken, at, settled_at
FROM holdfast_hold
WHERE tenant = :tenant AND (:key IS NULL OR key = :key) AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:state IS NULL OR state = :state) AND (:since IS NULL OR at >= :since)
ORDER BY at DESC, key DESC, attempt DESC
LIMIT :limit;

-- name: sum_costs
-- What was spent for nothing, and why: as wasted_as says it.
WITH costs AS (
    SELECT h.tool, h.model, h.actor, h.workflow_id, h.at, h.currency, h.state, h.money, h.spent_money, h.spent_tokens,
           coalesce(e.state, '') AS outcome,
           CASE WHEN h.state = 'assumed' THEN 'unknown'
                WHEN h.attempt < e.attempt OR e.state = 'retryable' THEN 'retried'
                WHEN e.state IN ('failed', 'denied', 'cancelled') THEN e.state ELSE '' END AS waste
    FROM holdfast_hold AS h LEFT JOIN holdfast_effect AS e ON e.tenant = h.tenant AND e.key = h.key
    WHERE h.tenant = :tenant AND (:workflow_id IS NULL OR h.workflow_id = :workflow_id)
      AND (:since IS NULL OR h.at >= :since) AND (:until IS NULL OR h.at < :until)
), named AS (
    SELECT CASE :by WHEN 'tool' THEN tool WHEN 'model' THEN model WHEN 'actor' THEN actor
                    WHEN 'workflow_id' THEN workflow_id WHEN 'outcome' THEN outcome WHEN 'waste' THEN waste
                    WHEN 'day' THEN date(at / 1000000, 'unixepoch') END AS name, *
    FROM costs
)
SELECT name, currency, count(*), coalesce(sum(spent_money), 0), coalesce(sum(spent_tokens), 0),
       coalesce(sum(CASE WHEN state = 'assumed' THEN spent_money END), 0),
       coalesce(sum(CASE WHEN state = 'held' THEN money END), 0),
       coalesce(sum(CASE WHEN waste <> '' THEN spent_money END), 0),
       coalesce(sum(CASE WHEN waste <> '' THEN spent_tokens END), 0)
FROM named
GROUP BY name, currency
ORDER BY name, currency;

-- name: put_cap
-- Guard: what people had added is what they think.
INSERT INTO holdfast_budget (owner, account, unit, per, cap, raised, spent, held, window_start, updated_at)
SELECT :owner, :account, :unit, :per, :cap, :raised, 0, 0, :window, :now WHERE :was = 0
    OR EXISTS (SELECT 1 FROM holdfast_budget AS b
               WHERE b.owner = :owner AND b.account = :account AND b.unit = :unit AND b.per = :per)
ON CONFLICT DO UPDATE
SET raised = excluded.raised, updated_at = excluded.updated_at,
    spent = CASE WHEN window_start < excluded.window_start THEN 0 ELSE spent END,
    window_start = max(window_start, excluded.window_start)
WHERE raised = :was;

-- name: reap_holds
DELETE FROM holdfast_hold
WHERE (tenant, key, attempt) IN (
    SELECT h.tenant, h.key, h.attempt FROM holdfast_hold AS h
    WHERE h.tenant = :tenant AND h.settled_at < :before
      AND NOT EXISTS (SELECT 1 FROM holdfast_effect AS e WHERE e.tenant = h.tenant AND e.key = h.key)
    LIMIT :limit);

-- name: reap_budgets
DELETE FROM holdfast_budget
WHERE (owner, account, unit, per) IN (
    SELECT b.owner, b.account, b.unit, b.per FROM holdfast_budget AS b
    WHERE b.owner = :tenant AND substr(b.account, 1, 9) = 'workflow:' AND b.held = 0 AND b.updated_at < :before
      AND NOT EXISTS (SELECT 1 FROM holdfast_execution AS x
                      WHERE x.tenant = b.owner AND x.workflow_id = substr(b.account, 10) AND x.ended_at IS NULL)
    LIMIT :limit);
