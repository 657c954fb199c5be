"""Renewing leases from the heartbeat's thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg

from holdfast.ports import Lease
from holdfast.stores.postgres.schema import connect, statements
from holdfast.stores.postgres.wire import translate


class PostgresRenewer:
    """Renews leases over a connection of its own."""

    def __init__(self, where: str, clock: Callable[[], datetime] | None) -> None:
        sql = statements()
        self._connection = connect(where, sql["begin_session"])
        self._clock = clock
        self._sql = sql["renew_leases"]

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        """See :meth:`holdfast.ports.Renewer.renew`."""
        wanted = [
            {
                "tenant": lease.tenant,
                "key": lease.key,
                "fence": lease.fence,
                "is_execution": lease.is_execution,
            }
            for lease in leases
        ]
        parameters = {
            "leases": json.dumps(wanted),
            "lease_s": lease_s,
            "now": None if self._clock is None else self._clock(),
        }
        try:
            rows = self._connection.execute(self._sql, parameters).fetchall()
        except psycopg.Error as error:
            raise translate(error, "renew leases") from error
        held = {Lease(tenant, key, fence, is_execution) for tenant, key, fence, is_execution in rows}
        return held.intersection(leases)

    def close(self) -> None:
        """See :meth:`holdfast.ports.Renewer.close`."""
        self._connection.close()
