-- What may be spent, and what was. Both are written only together with a move of the effect that spends, in one transaction.
CREATE TABLE holdfast_budget (
    owner         TEXT NOT NULL,  -- a tenant; empty for what all share
    account       TEXT NOT NULL,
    unit          TEXT NOT NULL,
    per           TEXT NOT NULL CHECK (per IN ('', 'minute', 'hour', 'day', 'month')),
    cap           INTEGER NOT NULL,  -- what code declared last
    raised        INTEGER NOT NULL,  -- what people added
    spent         INTEGER NOT NULL CHECK (spent >= 0),
    held          INTEGER NOT NULL CHECK (held >= 0),
    window_start  INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (owner, account, unit, per)
) STRICT, WITHOUT ROWID;

-- What each attempt may cost, and did: the record of costs.
CREATE TABLE holdfast_hold (
    tenant        TEXT NOT NULL,
    key           TEXT NOT NULL,
    attempt       INTEGER NOT NULL CHECK (attempt >= 1),
    workflow_id   TEXT NOT NULL,
    actor         TEXT NOT NULL,
    tool          TEXT NOT NULL,
    model         TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('held', 'settled', 'assumed', 'released')),
    currency      TEXT NOT NULL,
    money         INTEGER NOT NULL CHECK (money >= 0),
    tokens        INTEGER NOT NULL CHECK (tokens >= 0),
    spent_money   INTEGER,
    spent_tokens  INTEGER,
    price         TEXT,
    usage         TEXT,
    taken         TEXT NOT NULL,  -- of which budgets, in the order of their locks
    at            INTEGER NOT NULL,
    settled_at    INTEGER,
    PRIMARY KEY (tenant, key, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX holdfast_hold_newest ON holdfast_hold (tenant, at, key, attempt);
CREATE INDEX holdfast_hold_workflow ON holdfast_hold (tenant, workflow_id, at);
CREATE INDEX holdfast_hold_open ON holdfast_hold (tenant, at) WHERE state IN ('held', 'assumed');
