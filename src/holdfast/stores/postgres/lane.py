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
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.pq.abc import PGresult

from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.stores.postgres.link import OPERATION, Connection, Link, Ticket
from holdfast.stores.postgres.moving import LOOKS, Move
from holdfast.stores.postgres.parameters import Sent
from holdfast.stores.postgres.wire import translate

Connect = Callable[[], Awaitable[Connection]]
BATCH: Final = 128
BATCH_BYTES: Final = 1 << 20
"""A batch takes no more once it has this much; one change may be larger."""
SPLIT: Final = 4
"""From so many changes on, two batches are better than one."""
PATIENCE_TURNS: Final = 3
"""Turns of the event loop from an answer to its caller's next commit: a record, or the next call."""


class Lanes:
    """Commits changes over at most *width* connections, up to *most* in one transaction.

    Args:
        connect: Opens a connection.
        statements: What is prepared on it.
        singly: Where the changes of a refused batch are tried one by one: others need not wait for them.
    """

    def __init__(
        self,
        connect: Connect,
        statements: Mapping[str, bytes],
        *,
        width: int,
        most: int,
        singly: Lanes | None = None,
    ) -> None:
        self._connect = connect
        self._statements = statements
        self._width = width
        self._most = most
        self._singly = singly
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Ticket] = deque()
        self._links: list[Link] = []
        self._turns = 0  # of the loop, until what queues up is sent
        self._opening: set[asyncio.Task[Any]] = set()

    async def commit(self, prepared: Sent, read: Callable[[PGresult], Any]) -> Any:
        """Commit a write, alone or together with what queues up; return what *read* makes of its answer.

        An error of ours is returned, not raised.
        """
        ticket = Ticket(prepared, self._loop.create_future(), read)
        self.add(ticket)
        return await ticket.answer

    def add(self, ticket: Ticket) -> None:
        """Let *ticket* be sent as soon as a connection is free."""
        self._queue.append(ticket)
        if not self._turns:
            self._pump()

    def _pump(self) -> None:
        while self._queue:
            link = self._next_link()
            if link is None:
                break
            batch = self._take(self._share() if link.is_idle else self._most)
            if batch:
                link.send(batch)
        if self._queue and len(self._opening) < min(len(self._queue), self._width - len(self._links)):
            self._opening.add(self._loop.create_task(self._open()))

    def _next_link(self) -> Link | None:
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
        me: Any = asyncio.current_task()
        try:
            connection = await self._connect()
        except asyncio.CancelledError:  # the loop is being torn down: whoever still waits opens another
            self._opening.discard(me)
            self._pump()
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits must not wait for ever
            self._opening.discard(me)  # first: those who are told now may come back at once
            told = StoreUnavailable("connect", f"{type(error).__name__}: {error}")
            self.unusable(error if isinstance(error, HoldfastError) else told)
        else:
            self._opening.discard(me)
            link = Link(self, connection, self._loop, self._statements)
            self._links.append(link)
            link.start()
            self._pump()

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
        where = self._singly or self
        for ticket in tickets:
            ticket.alone = True
            where.add(ticket)

    def lost(self, link: Link) -> None:
        """Take note that *link* is gone; what it did not carry finds another."""
        if link in self._links:
            self._links.remove(link)
        self._pump()

    def close(self) -> None:
        """Stop; whoever still waits learns that nothing is known."""
        for task in self._opening:
            task.cancel()
        lost = psycopg.OperationalError("the ledger was closed meanwhile")
        for link in tuple(self._links):
            link.stop(lost)
        self._links.clear()
        self.unusable(translate(lost, OPERATION))
        if self._singly is not None:
            self._singly.close()

    def abandon(self) -> None:
        """Let go of connections whose event loop is gone."""
        for link in self._links:
            link.finish()
        if self._singly is not None:
            self._singly.abandon()


@dataclass(frozen=True, slots=True)
class Moves:
    """Where executions are moved. What must not share a transaction has lanes of its own.

    Attributes:
        notes: For what the machine may lose: a transaction waits for the disk as a whole or not at all.
        ends: For what it may not.
        rest: For what keeps halts off until its end, which no lock of an execution may wait for; and, each by
            itself, for what locks more than one execution.
        looks: For what a worker asks for, each by itself.
    """

    notes: Lanes
    ends: Lanes
    rest: Lanes
    looks: Lanes

    @classmethod
    def together(cls, connect: Connect, statements: Mapping[str, bytes]) -> Moves:
        """Commit what queues up together."""
        moves = {name: text for name, text in statements.items() if name not in LOOKS}
        looks = {name: text for name, text in statements.items() if name in LOOKS}
        singly = Lanes(connect, moves, width=2, most=1)
        notes, ends, rest = (Lanes(connect, moves, width=1, most=BATCH, singly=singly) for _ in range(3))
        return cls(notes, ends, rest, looks=Lanes(connect, looks, width=2, most=1))

    @classmethod
    def singly(cls, connect: Connect, statements: Mapping[str, bytes], size: int) -> Moves:
        """Commit everything by itself, over at most *size* connections."""
        lanes = Lanes(connect, statements, width=size, most=1)
        return cls(lanes, lanes, lanes, lanes)

    def of(self, move: Move) -> Lanes:
        """Return where *move* is committed."""
        if move.looks:
            return self.looks
        if move.alone or move.begins:
            return self.rest
        return self.notes if move.is_note else self.ends

    def close(self) -> None:
        """Stop all of them."""
        for lanes in (self.notes, self.ends, self.rest, self.looks):
            lanes.close()

    def abandon(self) -> None:
        """Let go of all of them, the event loop being gone."""
        for lanes in (self.notes, self.ends, self.rest, self.looks):
            lanes.abandon()
