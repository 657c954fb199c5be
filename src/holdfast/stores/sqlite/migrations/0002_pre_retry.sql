-- Retries that outlive a process, systems that tools depend on, signals from outside, compensation.
ALTER TABLE holdfast_effect ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0;  -- an attempt may have acted
ALTER TABLE holdfast_effect ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;      -- its retries are used up
ALTER TABLE holdfast_effect ADD COLUMN retry_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holdfast_effect ADD COLUMN retry_since INTEGER;
ALTER TABLE holdfast_effect ADD COLUMN not_before INTEGER;                    -- the next attempt or look is due then
ALTER TABLE holdfast_effect ADD COLUMN external_id TEXT;
ALTER TABLE holdfast_effect ADD COLUMN undoes TEXT;

-- What may be sent again was released before this without saying whether it may have acted: that is doubt.
UPDATE holdfast_effect SET uncertain = 1 WHERE safety = 'idempotent' AND state IN ('retryable', 'pending');

CREATE INDEX holdfast_effect_by_external_id ON holdfast_effect (tenant, external_id) WHERE external_id IS NOT NULL;

ALTER TABLE holdfast_workflow ADD COLUMN stopped TEXT;     -- why its next calls are refused
ALTER TABLE holdfast_workflow ADD COLUMN stopped_by TEXT;  -- the effect that stopped it

-- One row per system that tools depend on: its circuit breaker and its budget of retries. Statistics, not promises:
-- written by compare-and-set on `version`, apart from the effects.
CREATE TABLE holdfast_dependency (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version >= 1),
    state       TEXT NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    retry_at    INTEGER,
    body        TEXT NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- What the outside told of effects, each signal once.
CREATE TABLE holdfast_signal (
    tenant       TEXT NOT NULL,
    subject      TEXT NOT NULL,  -- an effect's key, or what the system outside calls it
    id           TEXT NOT NULL,
    outcome      TEXT NOT NULL CHECK (outcome IN ('done', 'not_done', 'still_unknown')),
    body         TEXT NOT NULL,
    received_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject, id, outcome)
) STRICT, WITHOUT ROWID;
