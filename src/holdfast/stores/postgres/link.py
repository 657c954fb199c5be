"""One connection on an event loop: batches go out, answers come back and find whoever waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import psycopg
from psycopg.pq.abc import PGresult

from holdfast.errors import StoreInvariant
from holdfast.stores.postgres.parameters import Sent
from holdfast.stores.postgres.pipe import Pipe, Results
from holdfast.stores.postgres.wire import refused, translate

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
OPERATION: Final = "commit a change"
PATIENCE_S: Final = 10.0
"""How long a server may be silent about a batch; it says nothing while a disk or a lock keeps it waiting."""


class Ticket:
    """One write on its way, and its answer: what *read* makes of what it tells, or an error of ours."""

    __slots__ = ("alone", "answer", "execution", "read")

    def __init__(self, prepared: Sent, answer: asyncio.Future[Any], read: Callable[[PGresult], Any]) -> None:
        self.execution = prepared
        self.answer = answer
        self.read = read
        self.alone = prepared.alone

    def settle(self, answer: Any) -> None:
        if not self.answer.done():  # else its caller has left
            self.answer.set_result(answer)

    def told(self, told: PGresult) -> None:
        try:
            self.settle(self.read(told))
        except (ValueError, LookupError, TypeError) as error:  # e.g. a state that only a newer version knows
            why = f"its answer cannot be read ({error!r})"
            self.settle(StoreInvariant(self.execution.operation, why, self._subject))

    def failed(self, error: psycopg.Error) -> None:
        self.settle(translate(error, self.execution.operation, self._subject))

    @property
    def _subject(self) -> str:
        return self.execution.key[1].decode()


class Owner(Protocol):
    """What a connection tells to whom it belongs."""

    def answered(self, count: int) -> None:
        """So many changes were answered at once; more can be sent."""
        ...

    def again(self, tickets: Sequence[Ticket]) -> None:
        """One of these was refused and took the others along."""
        ...

    def lost(self, link: Link) -> None:
        """It is gone."""
        ...


class Link:
    """One connection, and the batches that it carries: one that the server is at, and one behind it."""

    def __init__(
        self,
        owner: Owner,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        statements: Mapping[str, bytes],
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._loop = loop
        self._socket = connection.pgconn.socket
        self._flights: deque[Sequence[Ticket]] = deque()
        self._answers = 0
        self._watch: asyncio.TimerHandle | None = None
        self._is_over = False  # asking the connection would not do: libpq closes its socket by itself
        self._pipe = Pipe(connection.pgconn, statements)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._flights

    def may_follow(self, waiting: int) -> bool:
        """Whether *waiting* changes are enough to go as the batch behind the one that is on its way."""
        return len(self._flights) == 1 and 2 * waiting >= len(self._flights[0])

    def start(self) -> None:
        """Begin to listen; the connection is idle."""
        self._loop.add_reader(self._socket, self._readable)
        try:
            self._pipe.start()
        except psycopg.Error as error:
            self._break(error)

    def send(self, tickets: Sequence[Ticket]) -> None:
        """Put a batch on its way."""
        self._flights.append(tickets)
        if self._watch is None:
            self._watch = self._loop.call_later(PATIENCE_S, self._look, self._answers)
        try:
            self._pipe.send([ticket.execution for ticket in tickets])
        except psycopg.Error as error:
            self._break(error)
        else:
            self._flush()

    def _look(self, answers: int) -> None:
        """Give a connection up that took a batch and has answered nothing ever since."""
        self._watch = None
        if self._flights and self._answers == answers:
            self._break(psycopg.OperationalError(f"the server has not answered for {PATIENCE_S:g} s"))
        elif self._flights:
            self._watch = self._loop.call_later(PATIENCE_S, self._look, self._answers)

    def _flush(self) -> None:
        try:
            more = self._pipe.flush()
        except psycopg.Error as error:
            self._break(error)
            return
        if more:
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._flush()

    def _readable(self) -> None:
        answered = 0
        try:
            for results in self._pipe.receive():
                self._answers += 1
                answered += self._tell(results)
        except psycopg.Error as error:
            self._break(error)
            return
        if answered or not self._flights:
            self._owner.answered(answered)

    def _tell(self, results: Results) -> int:
        tickets = self._flights.popleft()
        if not isinstance(results, psycopg.Error) and len(results) != len(tickets):
            self._flights.appendleft(tickets)
            raise psycopg.InternalError("the server answered another number of changes than it was sent")
        if not isinstance(results, psycopg.Error):
            for ticket, told in zip(tickets, results, strict=True):
                ticket.told(told)
        elif len(tickets) > 1 and refused(results):
            self._owner.again(tickets)
        else:
            for ticket in tickets:
                ticket.failed(results)
        return len(tickets)

    def _break(self, error: psycopg.Error) -> None:
        self.stop(error)
        self._owner.lost(self)

    def stop(self, error: psycopg.Error) -> None:
        """Drop the connection. Of what was on its way nothing is known."""
        if self._is_over:
            return
        self._is_over = True
        if self._watch is not None:
            self._watch.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self.finish()
        flights, self._flights = self._flights, deque()
        for tickets in flights:
            for ticket in tickets:
                ticket.failed(error)

    def finish(self) -> None:
        """Close the connection, whatever it is at."""
        self._connection.pgconn.finish()
