-- name: view_fullest
-- Budgets, the fullest first: of a tenant, and those that all share. A divided one is told with all its slices.
WITH clock AS (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now),
level AS (
    SELECT b.owner, b.account, b.unit, b.per, max(b.cap) FILTER (WHERE b.slice = 0) AS cap,
           max(b.raised) FILTER (WHERE b.slice = 0) AS raised,
           sum(CASE WHEN b.window_start < holdfast_window_v1(b.per, clock.now) THEN 0 ELSE b.spent END)::bigint AS spent,
           sum(b.held)::bigint AS held, max(b.window_start) AS window_start
    FROM holdfast_budget AS b, clock
    WHERE b.owner IN (%(tenant)s, '') AND starts_with(b.account, %(prefix)s)
    GROUP BY b.owner, b.account, b.unit, b.per
    HAVING bool_or(b.slice = 0)
),
measured AS (
    SELECT level.*, CASE WHEN cap + raised <= 0 THEN 9007199254740992
                         ELSE least(spent + held, 9007199254740992) * 1000 / (cap + raised) END AS filled
    FROM level
),
wanted AS (
    SELECT measured.*, filled >= %(near)s AND unit <> 'concurrency' AS is_near FROM measured
    WHERE NOT %(only_near)s OR (filled >= %(near)s AND unit <> 'concurrency')
),
page AS (
    SELECT * FROM wanted
    WHERE %(after_filled)s::bigint IS NULL OR filled < %(after_filled)s::bigint
       OR (filled = %(after_filled)s::bigint
           AND (owner, account, unit, per)
               > (%(after_owner)s::text, %(after_account)s::text, %(after_unit)s::text, %(after_per)s::text))
    ORDER BY filled DESC, owner, account, unit, per
    LIMIT %(limit)s
),
counts AS (SELECT count(*) AS found, count(*) FILTER (WHERE is_near) AS near FROM wanted)
SELECT page.owner, page.account, page.unit, page.per, page.cap, page.raised, page.spent, page.held, page.window_start,
       clock.now, counts.found, counts.near
FROM counts CROSS JOIN clock LEFT JOIN page ON true
ORDER BY page.filled DESC, page.owner, page.account, page.unit, page.per;

-- name: view_spread
-- What was spent, by several things at once: each of them adds up to the same. Beyond the dearest, names are put together.
WITH attempt AS (
    SELECT h.tool, h.model, h.actor, h.workflow_id, coalesce(e.state::text, '') AS outcome, h.currency,
           CASE WHEN h.state = 'held' THEN 'held' WHEN h.state = 'assumed' THEN 'assumed' WHEN e.state IS NULL THEN ''
                WHEN h.attempt < e.attempt THEN 'superseded'
                WHEN e.state IN ('failed', 'denied', 'cancelled', 'retryable') THEN 'failed' ELSE '' END AS fate,
           CASE WHEN %(over)s::text IS NOT NULL
                THEN floor(extract(epoch FROM h.at) / %(step_s)s::bigint)::bigint * %(step_s)s::bigint END AS begun,
           coalesce(h.spent_money, 0) AS money, coalesce(h.spent_tokens, 0) AS tokens,
           CASE WHEN h.state = 'held' THEN h.money ELSE 0 END AS held
    FROM holdfast_hold AS h
    LEFT JOIN holdfast_effect AS e ON e.tenant = h.tenant AND e.key = h.key
    WHERE h.tenant = %(tenant)s AND (%(workflow_id)s::text IS NULL OR h.workflow_id = %(workflow_id)s)
      AND (%(since)s::timestamptz IS NULL OR h.at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR h.at < %(until)s)
),
cost AS (
    SELECT tool, model, actor, workflow_id, outcome, fate, begun, currency, count(*) AS attempts, sum(money) AS money,
           sum(tokens) AS tokens, sum(held) AS held
    FROM attempt
    GROUP BY tool, model, actor, workflow_id, outcome, fate, begun, currency
),
part AS (
    SELECT w.by,
           CASE w.by WHEN 'tool' THEN tool WHEN 'model' THEN model WHEN 'actor' THEN actor WHEN 'workflow_id' THEN workflow_id
                     WHEN 'outcome' THEN outcome WHEN 'fate' THEN fate END COLLATE "C" AS name,
           CASE WHEN w.by = %(over)s::text THEN begun END AS begun, currency, sum(attempts) AS attempts, sum(money) AS money,
           sum(tokens) AS tokens, sum(money) FILTER (WHERE fate = 'failed') AS failed,
           sum(money) FILTER (WHERE fate = 'superseded') AS superseded,
           sum(money) FILTER (WHERE fate = 'assumed') AS assumed, sum(held) AS held
    FROM cost CROSS JOIN unnest(%(by)s::text[]) AS w (by)
    GROUP BY 1, 2, 3, 4
),
ranked AS (
    SELECT by, name, currency,
           row_number() OVER (PARTITION BY by, currency ORDER BY sum(money + held) DESC, sum(tokens) DESC, name)
               <= %(most)s AS is_named
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
SELECT floor(extract(epoch FROM h.settled_at) / %(step_s)s::bigint)::bigint * %(step_s)s::bigint,
       sum(CASE WHEN h.state = 'released' THEN 0 WHEN t.of ->> 2 = h.currency THEN h.spent_money
                WHEN t.of ->> 2 = 'tokens' THEN h.spent_tokens ELSE (t.of ->> 4)::bigint END)
FROM holdfast_hold AS h, json_array_elements(h.taken::json) AS t (of)
WHERE (%(owner)s = '' OR h.tenant = %(owner)s) AND h.settled_at >= %(since)s::timestamptz
  AND h.at >= %(since)s::timestamptz - interval '1 day'
  AND t.of ->> 0 = %(owner)s AND t.of ->> 1 = %(account)s AND t.of ->> 2 = %(unit)s AND t.of ->> 3 = %(per)s
  AND NOT (t.of ->> 5)::boolean
GROUP BY 1
ORDER BY 1;
