"""The connections of one process's blocking store, by what they are for."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg

from holdfast.settings import Settings
from holdfast.stores.combine import Combiner
from holdfast.stores.postgres import schema
from holdfast.stores.postgres.lane import BATCH
from holdfast.stores.postgres.moving import Numbered
from holdfast.stores.postgres.parameters import key_of
from holdfast.stores.postgres.pool import BlockingConnection, BlockingPool
from holdfast.stores.postgres.wire import translate
from holdfast.stores.postgres.writer import Writer


class Side:
    """What belongs to one process."""

    def __init__(
        self,
        where: str,
        settings: Settings,
        sql: Mapping[str, bytes],
        prepared: Mapping[str, Numbered],
        send: Any,
    ) -> None:
        self.pid = os.getpid()
        writes = {name: sql[name] for name in schema.WRITES}
        self.writers = BlockingPool(partial(_writer, where, sql, writes), settings.pool_size)
        moves = {name: known.text for name, known in prepared.items()}
        self.movers = BlockingPool(partial(_writer, where, sql, moves), settings.pool_size)
        self.reads: BlockingPool[BlockingConnection] = BlockingPool(
            partial(schema.connect, where, sql["begin_session"]), settings.pool_size
        )
        # Their own: a local effect may need a read while its transaction is open.
        self.locals: BlockingPool[BlockingConnection] = BlockingPool(
            partial(schema.connect, where, sql["begin_local"]), settings.pool_size
        )
        self.opening = threading.Lock()  # the first call's look at the schema
        turn = threading.Lock()  # one batch at a time: the others wait and form the next
        self.combiner = Combiner(send, lambda: turn, limit=BATCH, key_of=key_of)

    def close(self) -> None:
        self.writers.close()
        self.movers.close()
        self.reads.close()
        self.locals.close()


def _writer(where: str, sql: Mapping[str, bytes], statements: Mapping[str, bytes]) -> Writer:
    connection = schema.connect(where, sql["begin_session"], sql["begin_writing"])
    try:
        return Writer(connection, statements)
    except psycopg.Error as error:
        connection.close()
        raise translate(error, "connect") from error
