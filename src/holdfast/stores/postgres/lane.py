"""Group commit on one event loop: who commits what, over which connection, and when.

No timer: an idle connection sends at once; what queued up while its last commit was in flight goes as the
next batch. Everything after the first send happens in callbacks of the event loop and belongs to no caller's
task, so a caller that is cancelled breaks neither the connection nor the batch. A lone caller stays on one
connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import psycopg

from holdfast._core.change import Change
from holdfast.errors import HoldfastError, StoreInvariant
from holdfast.stores.postgres.parameters import Execution, execution, key_of
from holdfast.stores.postgres.pipe import Pipe
from holdfast.stores.postgres.wire import Answer, answer_of, refused, translate

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
BATCH: Final = 128
BATCH_BYTES: Final = 1 << 20
"""A batch takes no more once it has this much; one change may be larger."""
_OPERATION: Final = "commit a change"


class Ticket:
    """One change on its way, and its answer."""

    __slots__ = ("alone", "answer", "change", "execution")

    def __init__(self, change: Change, prepared: Execution, answer: asyncio.Future[Answer]) -> None:
        self.change = change
        self.execution = prepared
        self.answer = answer
        self.alone = prepared.alone

    def settle(self, answer: Answer) -> None:
        if not self.answer.done():  # else its caller has left
            self.answer.set_result(answer)

    def told(self, told: bytes) -> None:
        try:
            self.settle(answer_of(self.change, told))
        except ValueError as error:  # e.g. a state that only a newer version knows
            why = f"its answer cannot be read ({error})"
            self.settle(StoreInvariant(_OPERATION, why, key_of(self.change)[1]))

    def failed(self, error: psycopg.Error) -> None:
        self.settle(translate(error, _OPERATION, key_of(self.change)[1]))


class Lanes:
    """Commits changes over at most *width* connections, up to *most* in one transaction.

    Args:
        connect: Opens a connection.
        statements: What is prepared on it.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        statements: Mapping[str, bytes],
        *,
        width: int,
        most: int,
    ) -> None:
        self._connect = connect
        self._statements = statements
        self._width = width
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Ticket] = deque()
        self._links: set[_Link] = set()
        self._idle: list[_Link] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def commit(self, change: Change, now: datetime | None) -> Answer:
        """Commit *change*, alone or together with what queues up."""
        ticket = Ticket(change, execution(change, now), self._loop.create_future())
        if self._idle and not self._queue:
            self._idle.pop().send([ticket])
        else:
            self._queue.append(ticket)
            self._pump()
        return await ticket.answer

    def _pump(self) -> None:
        while self._queue and self._idle:
            batch = self._take()
            if batch:
                self._idle.pop().send(batch)
        wanted = min(len(self._queue), self._width - len(self._links))
        if len(self._opening) < wanted:
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _take(self) -> list[Ticket]:
        """Take the next batch: sorted, of distinct keys. What nobody waits for any more is not sent."""
        batch: dict[tuple[bytes, bytes], Ticket] = {}
        later: list[Ticket] = []
        size = 0
        while self._queue and len(batch) < self._most and size < BATCH_BYTES:
            ticket = self._queue.popleft()
            if ticket.answer.cancelled():
                continue
            if ticket.alone:
                if not batch and not later:
                    return [ticket]
                later.append(ticket)
            elif ticket.execution.key in batch:
                later.append(ticket)
            else:
                batch[ticket.execution.key] = ticket
                size += ticket.execution.size
        self._queue.extendleft(reversed(later))
        return [batch[key] for key in sorted(batch)]

    async def _open(self) -> None:
        try:
            link = _Link(self, await self._connect(), self._loop)
        except HoldfastError as error:
            self.unusable(error)
        else:
            self._links.add(link)
            link.start(self._statements)

    def unusable(self, error: HoldfastError) -> None:
        """Take note that no connection could be made: without any, nobody is kept waiting."""
        if not self._links:
            while self._queue:
                self._queue.popleft().settle(error)

    def idle(self, link: _Link) -> None:
        """Take note that *link* may send again."""
        if link in self._links:
            self._idle.append(link)
            self._pump()

    def again(self, tickets: Sequence[Ticket]) -> None:
        """Try *tickets* once more, one by one: the database refused one of them."""
        for ticket in reversed(tickets):
            ticket.alone = True
            self._queue.appendleft(ticket)

    def lost(self, link: _Link) -> None:
        """Take note that *link* is gone; what it did not carry finds another."""
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if link.was_ready:
            self._pump()

    def close(self) -> None:
        """Stop; whoever still waits learns that nothing is known."""
        for task in self._opening:
            task.cancel()
        lost = psycopg.OperationalError("the ledger was closed meanwhile")
        for link in tuple(self._links):
            link.stop(lost)
        self._links.clear()
        self._idle.clear()
        self.unusable(translate(lost, _OPERATION))

    def abandon(self) -> None:
        """Let go of connections whose event loop is gone."""
        for link in self._links:
            link.finish()


class _Link:
    """One connection, and the batch that it carries."""

    def __init__(self, lanes: Lanes, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._lanes = lanes
        self._connection = connection
        self._loop = loop
        self._socket = connection.pgconn.socket
        self._tickets: Sequence[Ticket] = ()
        self.was_ready = False  # its statements were prepared
        self._is_over = False  # asking the connection would not do: libpq closes its socket by itself
        self._pipe = Pipe(connection.pgconn)

    def start(self, statements: Mapping[str, bytes]) -> None:
        """Prepare *statements*; the connection is idle after that."""
        self._loop.add_reader(self._socket, self._readable)
        try:
            self._pipe.prepare(statements)
        except psycopg.Error as error:
            self._break(error)
        else:
            self._flush()

    def send(self, tickets: Sequence[Ticket]) -> None:
        """Put a batch on its way."""
        self._tickets = tickets
        try:
            self._pipe.send([ticket.execution for ticket in tickets])
        except psycopg.Error as error:
            self._break(error)
        else:
            self._flush()

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
        try:
            results = self._pipe.receive()
        except psycopg.Error as error:
            self._break(error)
            return
        if results is None:
            return
        if not self.was_ready and isinstance(results, psycopg.Error):
            self._break(results)
            return
        self.was_ready = True
        tickets, self._tickets = self._tickets, ()
        if not isinstance(results, psycopg.Error):
            for ticket, told in zip(tickets, results, strict=True):
                ticket.told(told)
        elif len(tickets) > 1 and refused(results):
            self._lanes.again(tickets)
        else:
            for ticket in tickets:
                ticket.failed(results)
        if len(tickets) > 1:
            # One turn of the loop: those who were answered may commit again together, not one by one.
            self._loop.call_soon(self._lanes.idle, self)
        else:
            self._lanes.idle(self)

    def _break(self, error: psycopg.Error) -> None:
        self.stop(error)
        self._lanes.lost(self)
        if not self.was_ready:
            self._lanes.unusable(translate(error, "connect"))

    def stop(self, error: psycopg.Error) -> None:
        """Drop the connection. Of what was on its way nothing is known."""
        if self._is_over:
            return
        self._is_over = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self.finish()
        tickets, self._tickets = self._tickets, ()
        for ticket in tickets:
            ticket.failed(error)

    def finish(self) -> None:
        """Close the connection, whatever it is at."""
        self._connection.pgconn.finish()
