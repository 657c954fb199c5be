-- What people are asked about effects. Every write of an approval goes with a move of its effect, in one transaction.
CREATE TABLE holdfast_approval (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    key          TEXT NOT NULL,  -- the effect that it is about
    workflow_id  TEXT NOT NULL,
    tool         TEXT NOT NULL,
    number       INTEGER NOT NULL CHECK (number >= 1),
    state        TEXT NOT NULL
        CHECK (state IN ('pending', 'approved', 'consumed', 'denied', 'expired', 'withdrawn')),
    version      INTEGER NOT NULL CHECK (version >= 1),
    digest       TEXT NOT NULL,  -- of the binding: what was approved
    binding      TEXT NOT NULL,
    body         TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    due_at       INTEGER,
    notices      INTEGER NOT NULL CHECK (notices >= 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, key, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX holdfast_approval_open ON holdfast_approval (tenant, key) WHERE state IN ('pending', 'approved');
CREATE INDEX holdfast_approval_inbox ON holdfast_approval (tenant, expires_at, id, version, state) WHERE state = 'pending';
CREATE INDEX holdfast_approval_newest ON holdfast_approval (tenant, created_at, id);
CREATE INDEX holdfast_approval_state ON holdfast_approval (tenant, state, created_at, id);
CREATE INDEX holdfast_approval_due ON holdfast_approval (tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX holdfast_approval_untold ON holdfast_approval (tenant, created_at) WHERE notices > 0;
