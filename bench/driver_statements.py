"""The statements that driver.py measures the drivers with: shaped like a ledger's claim, record and replay."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

ARGS = '{"amount":7,"customer":"cus_123456","note":"' + "n" * 80 + '"}'
RESULT = '{"id":"123456-7","ok":true}'
BODY = '{"event":"claimed","tool":"charge","actor":"agent-1"}' + " " * 120

SCHEMA = """
CREATE TABLE effect (tenant text, key text, workflow_id text NOT NULL, tool text NOT NULL, intent text NOT NULL,
  safety text NOT NULL, fingerprint text NOT NULL, args text NOT NULL, call_id text, actor text NOT NULL,
  state text NOT NULL, fence bigint NOT NULL, attempt int NOT NULL, owner text NOT NULL,
  lease_until timestamptz NOT NULL, deadline_at timestamptz, result text, error text, created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL, audit_seq int NOT NULL, audit_hash bytea NOT NULL, PRIMARY KEY (tenant, key));
CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text NOT NULL, key text NOT NULL,
  seq int NOT NULL, event text NOT NULL, actor text NOT NULL, at timestamptz NOT NULL, body text NOT NULL,
  salt bytea NOT NULL, prev bytea, hash bytea NOT NULL);
CREATE FUNCTION claim(p_tenant text, p_key text, p_workflow_id text, p_tool text, p_intent text, p_safety text,
  p_fingerprint text, p_args text, p_call_id text, p_actor text, p_state text, p_fence bigint, p_attempt int,
  p_owner text, p_lease double precision, p_deadline double precision, p_at timestamptz, p_seq int, p_event text,
  p_body text, p_salt bytea, p_prev bytea, p_hash bytea, p_seen bigint, p_joined boolean)
RETURNS SETOF effect LANGUAGE plpgsql AS $$
DECLARE v_now timestamptz := clock_timestamp(); v effect;
BEGIN
  INSERT INTO effect VALUES (p_tenant, p_key, p_workflow_id, p_tool, p_intent, p_safety, p_fingerprint, p_args,
    p_call_id, p_actor, p_state, p_fence, p_attempt, p_owner, v_now + p_lease * interval '1 s',
    v_now + p_deadline * interval '1 s', NULL, NULL, p_at, p_at, p_seq, p_hash)
    ON CONFLICT DO NOTHING RETURNING * INTO v;
  IF NOT FOUND THEN RETURN QUERY SELECT * FROM effect WHERE tenant = p_tenant AND key = p_key; RETURN; END IF;
  INSERT INTO audit (tenant, key, seq, event, actor, at, body, salt, prev, hash)
    VALUES (p_tenant, p_key, p_seq, p_event, p_actor, p_at, p_body, p_salt, p_prev, p_hash);
  RETURN NEXT v;
END $$;
CREATE FUNCTION record(p_tenant text, p_key text, p_fence bigint, p_owner text, p_state text, p_result text,
  p_at timestamptz, p_seq int, p_body text, p_salt bytea, p_prev bytea, p_hash bytea)
RETURNS TABLE (fence bigint, state text) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY UPDATE effect e SET state = p_state, result = p_result, fence = e.fence + 1, updated_at = p_at,
    audit_seq = p_seq, audit_hash = p_hash
    WHERE e.tenant = p_tenant AND e.key = p_key AND e.fence = p_fence AND e.owner = p_owner
      AND e.state = 'pending' AND e.audit_hash = p_prev RETURNING e.fence, e.state;
  IF FOUND THEN
    INSERT INTO audit (tenant, key, seq, event, actor, at, body, salt, prev, hash)
      VALUES (p_tenant, p_key, p_seq, 'succeeded', p_owner, p_at, p_body, p_salt, p_prev, p_hash);
  END IF;
END $$;
"""
COLUMNS = (
    "state, fence, attempt, owner, workflow_id, tool, fingerprint, args, result, error, lease_until, created_at, "
    "audit_seq, audit_hash"
)
CLAIM = f"SELECT {COLUMNS} FROM claim({{}})"
RECORD = "SELECT fence, state FROM record({})"
FIELDS = {
    "tenant": "text", "key": "text", "workflow_id": "text", "tool": "text", "intent": "text", "safety": "text",
    "fingerprint": "text", "args": "text", "call_id": "text", "actor": "text", "state": "text", "fence": "bigint",
    "attempt": "int", "owner": "text", "at": "timestamptz", "body": "text", "salt": "bytea", "hash": "bytea",
}  # fmt: skip
BATCH = """
WITH i AS MATERIALIZED ({source}),
e AS (INSERT INTO effect (tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state,
    fence, attempt, owner, lease_until, created_at, updated_at, audit_seq, audit_hash)
  SELECT tenant, key, workflow_id, tool, intent, safety, fingerprint, args, call_id, actor, state, fence, attempt, owner,
    clock_timestamp() + interval '10 s', at, at, 1, hash FROM i ORDER BY tenant, key
  ON CONFLICT DO NOTHING RETURNING tenant, key, fence, state, lease_until),
a AS (INSERT INTO audit (tenant, key, seq, event, actor, at, body, salt, hash)
  SELECT e.tenant, e.key, 1, 'claimed', i.actor, i.at, i.body, i.salt, i.hash FROM i JOIN e USING (tenant, key))
SELECT key, fence, state, lease_until FROM e"""
UNNEST = (
    "SELECT * FROM unnest("
    + ", ".join(f"{{}}::{t}[]" for t in FIELDS.values())
    + f") AS u({', '.join(FIELDS)})"
)
FROM_JSON = (
    "SELECT * FROM json_to_recordset({}::json) AS u(" + ", ".join(f"{n} {t}" for n, t in FIELDS.items()) + ")"
)
READ = f"SELECT {COLUMNS} FROM effect WHERE tenant = {{}} AND key = {{}}"


def numbered(statement: str, count: int) -> str:
    marks = [f"${n}" for n in range(1, count + 1)]
    return statement.format(*marks) if statement.count("{}") > 1 else statement.format(", ".join(marks))


def percents(statement: str, count: int) -> str:
    marks = ["%s"] * count
    return statement.format(*marks) if statement.count("{}") > 1 else statement.format(", ".join(marks))


def claim_args(key: str) -> tuple[Any, ...]:
    digest = hashlib.sha256(key.encode()).digest()
    return (
        "acme", key, "order-123", "stripe.charge", "charge", "unsafe", digest.hex(), ARGS, "call_1", "agent-1",
        "pending", 1, 1, "owner-1", 10.0, None, datetime.now(UTC), 1, "claimed", BODY, digest[:16], None, digest,
        0, False,
    )  # fmt: skip


def record_args(key: str, row: Any) -> tuple[Any, ...]:
    digest = hashlib.sha256(key.encode()).digest()
    return (
        "acme",
        key,
        row[1],
        row[3],
        "succeeded",
        RESULT,
        datetime.now(UTC),
        2,
        BODY,
        digest[:16],
        row[13],
        digest[::-1],
    )


def batch_rows(keys: list[str]) -> list[tuple[Any, ...]]:
    rows = []
    for key in sorted(keys):
        args = claim_args(key)
        rows.append((*args[:14], args[16], args[19], args[20], args[22]))
    return rows


def batch_arrays(keys: list[str]) -> list[list[Any]]:
    return [list(column) for column in zip(*batch_rows(keys), strict=True)]


def batch_json(keys: list[str]) -> str:
    """One parameter instead of an array per column: bytes as hex, times as ISO 8601."""
    plain = []
    for row in batch_rows(keys):
        head, (at, body, salt, digest) = row[:14], row[14:]
        values = (*head, at.isoformat(), body, "\\x" + salt.hex(), "\\x" + digest.hex())
        plain.append(dict(zip(FIELDS, values, strict=True)))
    return json.dumps(plain)


def new_key() -> str:
    return "v1:" + uuid.uuid4().hex * 2
