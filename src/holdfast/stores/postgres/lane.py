"""Group commit on one event loop: who commits what, over which connection, and when.

No timer: an idle connection sends at once, and what queues up meanwhile goes as the next batch. Many changes
go as two batches, one behind the other: while the server is at one, the client is at the other.

Everything after the first send happens in callbacks of the event loop and belongs to no caller's task, so a
caller that is cancelled breaks neither the connection nor the batch. A lone caller stays on one connection.
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
from holdfast.stores.postgres.pipe import Pipe, Results
from holdfast.stores.postgres.wire import Answer, answer_of, refused, translate

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
BATCH: Final = 128
BATCH_BYTES: Final = 1 << 20
"""A batch takes no more once it has this much; one change may be larger."""
SPLIT: Final = 4
"""From so many changes on, two batches are better than one."""
PATIENCE_TURNS: Final = 3
"""Turns of the event loop from an answer to its caller's next commit: a record, or the next call."""
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
        self._links: list[_Link] = []
        self._turns = 0  # of the loop, until what queues up is sent
        self._opening: set[asyncio.Task[None]] = set()

    async def commit(self, change: Change, now: datetime | None) -> Answer:
        """Commit *change*, alone or together with what queues up."""
        ticket = Ticket(change, execution(change, now), self._loop.create_future())
        self._queue.append(ticket)
        if not self._turns:
            self._pump()
        return await ticket.answer

    def _pump(self) -> None:
        while self._queue:
            link = self._next_link()
            if link is None:
                break
            batch = self._take(self._share() if link.is_idle else self._most)
            if batch:
                link.send(batch)
        if self._queue and len(self._opening) < min(len(self._queue), self._width - len(self._links)):
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _next_link(self) -> _Link | None:
        """Return the connection to send on: an idle one, or one whose batch another may follow.

        While the server is at one batch the client is at the other; so they should be about as large.
        """
        for link in reversed(self._links):  # a lone caller stays on one
            if link.is_idle:
                return link
        if self._most > 1:
            for link in self._links:
                if link.may_follow(len(self._queue)):
                    return link
        return None

    def _share(self) -> int:
        """Return how many of those that queue go first: half of them, if they are enough for two batches."""
        waiting = len(self._queue)
        return self._most if self._most == 1 or waiting < SPLIT else min(self._most, (waiting + 1) // 2)

    def _take(self, most: int) -> list[Ticket]:
        """Take the next batch: sorted, of distinct keys. What nobody waits for any more is not sent."""
        if len(self._queue) == 1 and not self._queue[0].answer.cancelled():
            return [self._queue.popleft()]
        batch: dict[tuple[bytes, bytes], Ticket] = {}
        later: list[Ticket] = []
        size = 0
        while self._queue and len(batch) < most and size < BATCH_BYTES:
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
            self._links.append(link)
            link.start(self._statements)

    def unusable(self, error: HoldfastError) -> None:
        """Take note that no connection could be made: without any, nobody is kept waiting."""
        if not self._links:
            while self._queue:
                self._queue.popleft().settle(error)

    def answered(self, count: int) -> None:
        """Take note that *count* changes were answered at once, and send what is there.

        Those who got their answer may have more to commit within a few turns of the loop: it goes together.
        """
        if count <= 1:
            self._pump()
        else:
            if not self._turns:
                self._loop.call_soon(self._turn)
            self._turns = PATIENCE_TURNS

    def _turn(self) -> None:
        self._turns -= 1
        if self._turns:
            self._loop.call_soon(self._turn)
        else:
            self._pump()

    def again(self, tickets: Sequence[Ticket]) -> None:
        """Try *tickets* once more, one by one: the database refused one of them."""
        for ticket in reversed(tickets):
            ticket.alone = True
            self._queue.appendleft(ticket)

    def lost(self, link: _Link) -> None:
        """Take note that *link* is gone; what it did not carry finds another."""
        if link in self._links:
            self._links.remove(link)
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
        self._flights: deque[Sequence[Ticket]] = deque()
        self.was_ready = False  # its statements were prepared
        self._is_over = False  # asking the connection would not do: libpq closes its socket by itself
        self._pipe = Pipe(connection.pgconn)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return self.was_ready and not self._flights

    def may_follow(self, waiting: int) -> bool:
        """Whether *waiting* changes are enough to go as the batch behind the one that is on its way."""
        return len(self._flights) == 1 and 2 * waiting >= len(self._flights[0])

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
        self._flights.append(tickets)
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
        answered = 0
        try:
            for results in self._pipe.receive():
                if self.was_ready:
                    answered += self._tell(results)
                elif isinstance(results, psycopg.Error):
                    raise results
                self.was_ready = True
        except psycopg.Error as error:
            self._break(error)
            return
        if answered or not self._flights:
            self._lanes.answered(answered)

    def _tell(self, results: Results) -> int:
        tickets = self._flights.popleft()
        if not isinstance(results, psycopg.Error):
            for ticket, told in zip(tickets, results, strict=True):
                ticket.told(told)
        elif len(tickets) > 1 and refused(results):
            self._lanes.again(tickets)
        else:
            for ticket in tickets:
                ticket.failed(results)
        return len(tickets)

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
        flights, self._flights = self._flights, deque()
        for tickets in flights:
            for ticket in tickets:
                ticket.failed(error)

    def finish(self) -> None:
        """Close the connection, whatever it is at."""
        self._connection.pgconn.finish()
