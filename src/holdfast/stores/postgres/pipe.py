"""One connection in libpq's pipeline mode: a batch goes out in one write and is one transaction.

Between two Syncs the server runs everything in one implicit transaction, which commits at the Sync: N changes
cost one round trip and one flush, and each is still an execution of its own prepared statement. That is
quicker than one statement over N rows: nothing is packed on one side and unpacked on the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from holdfast.stores.postgres.parameters import Sent, batched

Results = list[PGresult] | psycopg.Error
"""What each execution told; or the error that rolled all of them back."""


class Pipe:
    """The protocol, without the waiting: who uses it waits for the socket in his own way."""

    def __init__(self, pgconn: PGconn, statements: Mapping[str, bytes]) -> None:
        self.pgconn = pgconn
        self._statements = statements
        self._prepared: set[str] = set()
        self._preparing: deque[tuple[list[str], int]] = deque()  # what each batch on its way brings along
        self._results: list[PGresult] = []

    def start(self) -> None:
        """Enter pipeline mode."""
        self.pgconn.nonblocking = 1
        self.pgconn.enter_pipeline_mode()

    def send(self, executions: Sequence[Sent]) -> None:
        """Put a batch on its way, after the statements that the connection does not know yet."""
        sent, heads = batched(executions)
        new = [name for name in {each.statement: None for each in sent} if name not in self._prepared]
        for name in new:
            self.pgconn.send_prepare(name.encode(), self._statements[name])
        self._prepared.update(new)
        self._preparing.append((new, heads))
        for each in sent:
            self.pgconn.send_query_prepared(each.statement.encode(), each.values, each.formats)
        self.pgconn.pipeline_sync()

    def flush(self) -> bool:
        """Write what the socket takes; return whether there is more."""
        return self.pgconn.flush() != 0

    def receive(self) -> Iterator[Results]:
        """Read what has come; tell a batch's results once its Sync is answered: only then is it committed.

        Raises:
            psycopg.OperationalError: The connection is gone.
        """
        pgconn = self.pgconn
        try:
            pgconn.consume_input()
        except psycopg.OperationalError as error:
            raise self._last_words() or error from None
        silences = 0
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                silences += 1  # one ends each execution; two in a row: nothing more has come yet
                if silences > 1:
                    break
            elif result.status == ExecStatus.PIPELINE_SYNC:
                done, self._results = self._results, []
                silences = 0
                yield _told(done, self._take_note(done))
            else:
                silences = 0
                self._results.append(result)
        if pgconn.status != ConnStatus.OK:
            raise self._last_words() or psycopg.OperationalError("the connection was lost")

    def _take_note(self, results: Sequence[PGresult]) -> int:
        """Know what was prepared in vain: whatever comes after an error is not looked at.

        Returns:
            How many answers at the batch's head nobody waits for.
        """
        made = sum(result.status == ExecStatus.COMMAND_OK for result in results)
        new, heads = self._preparing.popleft()
        self._prepared.difference_update(new[made:])
        return heads

    def _last_words(self) -> psycopg.Error | None:
        """Return why the server closed the connection, if it said so."""
        for result in self._results:
            if result.status == ExecStatus.FATAL_ERROR:
                return errors.error_from_result(result)
        return None


def _told(results: Sequence[PGresult], heads: int) -> Results:
    told: list[PGresult] = []
    for result in results:
        if result.status == ExecStatus.TUPLES_OK:
            told.append(result)
        elif result.status != ExecStatus.COMMAND_OK:  # what was prepared tells nothing
            return errors.error_from_result(result)
    return told[heads:]
