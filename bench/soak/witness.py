"""What the database itself has seen: each time that a workflow was taken, how many of its queue were running then."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from terms import LIMITS, RATE

_WATCH = """
CREATE TABLE soak_taken (
    queue text, limit_key text, workflow_id text, was text, is_start boolean, due_at timestamptz, at timestamptz,
    running bigint, of_key bigint);

-- Those who take of a limited queue take turns, and whoever else comes to its rows can only end what runs: so what is
-- counted here is never more than there was.
CREATE FUNCTION soak_saw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO soak_taken
    SELECT NEW.queue, NEW.limit_key, NEW.workflow_id, OLD.status, OLD.started_at IS NULL,
           CASE WHEN OLD.status = 'running' THEN OLD.lease_until ELSE OLD.wake_at END, clock_timestamp(),
           count(*), count(*) FILTER (WHERE e.limit_key = NEW.limit_key)
    FROM holdfast_execution AS e
    WHERE e.tenant = NEW.tenant AND e.queue = NEW.queue AND e.status = 'running';
    RETURN NULL;
END
$$;

CREATE TRIGGER soak_saw AFTER UPDATE ON holdfast_execution
FOR EACH ROW WHEN (NEW.epoch > OLD.epoch) EXECUTE FUNCTION soak_saw();
"""

_LATE = """
SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY at - due_at), '0'),
       coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY at - due_at), '0'), coalesce(max(at - due_at), '0')
FROM soak_taken WHERE queue = '' AND (was = 'running') = (%s = 'dead')
"""

_STARTS = """
SELECT at, count(*) OVER (ORDER BY at RANGE BETWEEN interval '0.999 s' PRECEDING AND CURRENT ROW) AS lately
FROM (SELECT started_at AS at FROM holdfast_execution WHERE queue = 'metered' AND started_at IS NOT NULL) AS started
ORDER BY lately DESC LIMIT 1
"""


@dataclass(slots=True)
class Seen:
    """What the database saw.

    Attributes:
        taken: How often a workflow was taken.
        from_dead: How often from a worker whose lease had run out; *deaths* is the same by workflow.
        late_s: From when it was due until it was taken, without limits: the median, the 99th percentile, the worst.
        late_after_death_s: The same from the end of a dead worker's lease.
        violations: Limits that did not hold.
    """

    taken: int = 0
    from_dead: int = 0
    deaths: dict[str, int] = field(default_factory=dict)
    late_s: tuple[float, ...] = ()
    late_after_death_s: tuple[float, ...] = ()
    most: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


class Witness:
    """Watches the ledger's database, by a trigger of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_WATCH)

    def open_ones(self) -> list[tuple[Any, ...]]:
        """Return what has not ended: id, status, pause, what it waits for."""
        return self._ask(
            "SELECT workflow_id, status::text, pause::text, waits_for, wake_at FROM holdfast_execution "
            "WHERE ended_at IS NULL ORDER BY created_at"
        )

    def counts(self) -> tuple[int, int]:
        """Return how many workflows there are, and how many have not ended."""
        [(known, left)] = self._ask(
            "SELECT count(*), count(*) FILTER (WHERE ended_at IS NULL) FROM holdfast_execution"
        )
        return known, left

    def backlog(self) -> int:
        """Return how many workflows are due and not taken; while the database is away, more than anybody wants."""
        try:
            [(due,)] = self._ask(
                "SELECT count(*) FROM holdfast_execution WHERE ended_at IS NULL AND wake_at <= now()"
            )
        except psycopg.Error:
            return sys.maxsize
        return int(due)

    def steps(self) -> int:
        """Return how many steps are on record."""
        return int(self._ask("SELECT count(*) FROM holdfast_step")[0][0])

    def seen(self) -> Seen:
        """Return what was seen until now."""
        found = Seen()
        [(found.taken, found.from_dead)] = self._ask(
            "SELECT count(*), count(*) FILTER (WHERE was = 'running') FROM soak_taken"
        )
        deaths = "SELECT workflow_id, count(*) FROM soak_taken WHERE was = 'running' GROUP BY workflow_id"
        found.deaths = dict(self._ask(deaths))
        found.late_s = tuple(round(each.total_seconds(), 3) for each in self._ask(_LATE, "waiting")[0])
        found.late_after_death_s = tuple(
            round(each.total_seconds(), 3) for each in self._ask(_LATE, "dead")[0]
        )
        narrow = LIMITS["narrow"]
        [(running, of_key)] = self._ask(
            "SELECT coalesce(max(running), 0), coalesce(max(of_key), 0) FROM soak_taken WHERE queue = 'narrow'"
        )
        lately = next((most for _, most in self._ask(_STARTS)), 0)
        for name, most, allowed in (
            ("running in 'narrow'", running, narrow["concurrency"]),
            ("running of one key", of_key, narrow["per_key"]),
            ("started within a second in 'metered'", lately, RATE),
        ):
            found.most[name] = most
            if most > allowed:
                found.violations.append(f"{most} {name}, and {allowed} are allowed")
        return found

    def _ask(self, question: str, *values: Any) -> Sequence[Any]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(question, values).fetchall()
