-- Times are integer microseconds since 1970, UTC. Payloads are exact JSON text (or a codec's envelope).
CREATE TABLE holdfast_effect (
    tenant       TEXT NOT NULL,
    key          TEXT NOT NULL CHECK (length(key) = 67),
    workflow_id  TEXT NOT NULL,
    tool         TEXT NOT NULL,
    intent       TEXT NOT NULL,
    safety       TEXT NOT NULL CHECK (safety IN ('unsafe', 'idempotent', 'read', 'local')),
    fingerprint  TEXT NOT NULL,
    args         TEXT NOT NULL,
    call_id      TEXT,
    actor        TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'pending', 'retryable', 'unknown', 'succeeded',
                                                'failed', 'denied', 'cancelled', 'compensated')),
    fence        INTEGER NOT NULL CHECK (fence >= 1),  -- grows on every transition (I3)
    attempt      INTEGER NOT NULL CHECK (attempt >= 0),
    owner        TEXT NOT NULL,
    lease_until  INTEGER NOT NULL,
    deadline_at  INTEGER,
    result       TEXT,
    result_gap   TEXT,
    error        TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    observed_at  INTEGER,
    audit_seq    INTEGER NOT NULL,
    audit_hash   BLOB NOT NULL,
    audit_id     INTEGER NOT NULL,             -- its newest audit entry
    audit_prev   INTEGER,                      -- the one before: what that entry points back to
    joined       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX holdfast_effect_by_workflow ON holdfast_effect (tenant, workflow_id);

-- Unfinished business for sweepers and people; a call that goes well never enters it.
CREATE INDEX holdfast_effect_in_doubt ON holdfast_effect (tenant, state, updated_at)
    WHERE state IN ('waiting', 'retryable', 'unknown');

-- One entry per transition; it is the outbox event as well. Append-only, in the order of commits.
-- Each entry points back to the effect's previous one, so a trail needs no index: on this path a page more
-- in every commit is a tenth of a call. `sealed_at` and `leaf` are the sealer's.
CREATE TABLE holdfast_audit (
    id            INTEGER PRIMARY KEY,
    before        INTEGER,
    tenant        TEXT NOT NULL,
    key           TEXT NOT NULL,
    seq           INTEGER NOT NULL CHECK (seq >= 1),
    event         TEXT NOT NULL CHECK (event IN ('ask', 'claim', 'take_over', 'succeed', 'fail', 'release', 'doubt',
                                                 'resolve_done', 'resolve_not_done', 'observe', 'deny', 'cancel',
                                                 'compensate', 'note')),
    state         TEXT NOT NULL,
    fence         INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    at            INTEGER NOT NULL,
    body          TEXT,
    salt          BLOB,
    content_hash  BLOB NOT NULL,
    prev          BLOB NOT NULL,
    hash          BLOB NOT NULL,
    keyed         INTEGER NOT NULL,
    sealed_at     INTEGER,
    leaf          BLOB
) STRICT;

CREATE TABLE holdfast_workflow (
    tenant        TEXT NOT NULL,
    workflow_id   TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'succeeded', 'failed',
                                                  'needs_review', 'cancelled')),
    open_reviews  INTEGER NOT NULL CHECK (open_reviews >= 0),
    updated_at    INTEGER NOT NULL,
    audit_hash    BLOB,
    PRIMARY KEY (tenant, workflow_id)
) STRICT, WITHOUT ROWID;

-- For people with a SQL prompt: times as text.
CREATE VIEW holdfast_effects_v AS
SELECT tenant, key, workflow_id, tool, intent, safety, state, attempt, args, result, error, actor,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1e6, 'unixepoch') AS updated_at,
       (coalesce(observed_at, updated_at) - created_at) / 1000 AS took_ms
FROM holdfast_effect;
