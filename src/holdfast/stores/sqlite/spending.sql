-- name: view_fullest
-- Budgets, the fullest first: of a tenant, and those that all share. Of a window that is over nothing is spent.
WITH level AS (
    SELECT b.owner, b.account, b.unit, b.per, b.cap, b.raised,
           CASE WHEN b.window_start < CASE b.per WHEN 'minute' THEN :minute WHEN 'hour' THEN :hour WHEN 'day' THEN :day
                                                 WHEN 'month' THEN :month ELSE 0 END THEN 0 ELSE b.spent END AS spent,
           b.held, b.window_start
    FROM holdfast_budget AS b
    WHERE b.owner IN (:tenant, '') AND substr(b.account, 1, length(:prefix)) = :prefix
),
measured AS (
    SELECT level.*, CASE WHEN cap + raised <= 0 THEN 9007199254740992
                         ELSE min(spent + held, 9007199254740992) * 1000 / (cap + raised) END AS filled
    FROM level
),
wanted AS (
    SELECT measured.*, filled >= :near AND unit <> 'concurrency' AS is_near FROM measured
    WHERE NOT :only_near OR (filled >= :near AND unit <> 'concurrency')
),
page AS (
    SELECT * FROM wanted
    WHERE :after_filled IS NULL OR filled < :after_filled
       OR (filled = :after_filled
           AND (owner, account, unit, per) > (:after_owner, :after_account, :after_unit, :after_per))
    ORDER BY filled DESC, owner, account, unit, per
    LIMIT :limit
),
counts AS (SELECT count(*) AS found, coalesce(sum(is_near), 0) AS near FROM wanted)
SELECT page.owner, page.account, page.unit, page.per, page.cap, page.raised, page.spent, page.held, page.window_start,
       counts.found, counts.near
FROM counts LEFT JOIN page ON true
ORDER BY page.filled DESC, page.owner, page.account, page.unit, page.per;

-- name: view_spread
-- What was spent, by several things at once: each of them adds up to the same. Beyond the dearest, names are put together.
WITH attempt AS (
    SELECT h.tool, h.model, h.actor, h.workflow_id, coalesce(e.state, '') AS outcome, h.currency,
           CASE WHEN h.state = 'held' THEN 'held' WHEN h.state = 'assumed' THEN 'assumed' WHEN e.state IS NULL THEN ''
                WHEN h.attempt < e.attempt THEN 'superseded'
                WHEN e.state IN ('failed', 'denied', 'cancelled', 'retryable') THEN 'failed' ELSE '' END AS fate,
           CASE WHEN :over IS NOT NULL THEN h.at / 1000000 - h.at / 1000000 % :step_s END AS begun,
           coalesce(h.spent_money, 0) AS money, coalesce(h.spent_tokens, 0) AS tokens,
           CASE WHEN h.state = 'held' THEN h.money ELSE 0 END AS held
    FROM holdfast_hold AS h
    LEFT JOIN holdfast_effect AS e ON e.tenant = h.tenant AND e.key = h.key
    WHERE h.tenant = :tenant AND (:workflow_id IS NULL OR h.workflow_id = :workflow_id)
      AND (:since IS NULL OR h.at >= :since) AND (:until IS NULL OR h.at < :until)
),
cost AS (
    SELECT tool, model, actor, workflow_id, outcome, fate, begun, currency, count(*) AS attempts, sum(money) AS money,
           sum(tokens) AS tokens, sum(held) AS held
    FROM attempt
    GROUP BY tool, model, actor, workflow_id, outcome, fate, begun, currency
),
part AS (
    SELECT w.value AS by,
           CASE w.value WHEN 'tool' THEN tool WHEN 'model' THEN model WHEN 'actor' THEN actor
                        WHEN 'workflow_id' THEN workflow_id WHEN 'outcome' THEN outcome WHEN 'fate' THEN fate END AS name,
           CASE WHEN w.value = :over THEN begun END AS begun, currency, sum(attempts) AS attempts, sum(money) AS money,
           sum(tokens) AS tokens, sum(money) FILTER (WHERE fate = 'failed') AS failed,
           sum(money) FILTER (WHERE fate = 'superseded') AS superseded,
           sum(money) FILTER (WHERE fate = 'assumed') AS assumed, sum(held) AS held
    FROM cost CROSS JOIN json_each(:by) AS w
    GROUP BY 1, 2, 3, 4
),
ranked AS (
    SELECT by, name, currency,
           row_number() OVER (PARTITION BY by, currency ORDER BY sum(money + held) DESC, sum(tokens) DESC, name)
               <= :most AS is_named
    FROM part
    GROUP BY by, name, currency
)
SELECT p.by, CASE WHEN r.is_named THEN p.name ELSE '' END, NOT r.is_named, count(DISTINCT p.name), p.begun, p.currency,
       sum(p.attempts), sum(p.money), sum(p.tokens), coalesce(sum(p.failed), 0), coalesce(sum(p.superseded), 0),
       coalesce(sum(p.assumed), 0), sum(p.held)
FROM part AS p JOIN ranked AS r ON r.by = p.by AND r.name = p.name AND r.currency = p.currency
GROUP BY 1, 2, 3, p.begun, p.currency;

-- name: view_burnt
-- What was spent of one budget, by when that was settled. What a hold takes of a unit is what it spends, unless more is known.
SELECT h.settled_at / 1000000 - h.settled_at / 1000000 % :step_s AS begun,
       sum(CASE WHEN h.state = 'released' THEN 0 WHEN t.value ->> 2 = h.currency THEN h.spent_money
                WHEN t.value ->> 2 = 'tokens' THEN h.spent_tokens ELSE t.value ->> 4 END)
FROM holdfast_hold AS h, json_each(h.taken) AS t
WHERE (:owner = '' OR h.tenant = :owner) AND h.settled_at >= :since AND h.at >= :since - 86400000000
  AND t.value ->> 0 = :owner AND t.value ->> 1 = :account AND t.value ->> 2 = :unit AND t.value ->> 3 = :per
  AND NOT (t.value ->> 5)
GROUP BY 1
ORDER BY 1;
