"""The verdicts on errors of the standard library, of schemas and of databases."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import psycopg
import pydantic
import pytest
from misbehaving import (
    Server,
    half,
    nobody,
)
from senders import (
    NOW,
    error_of,
    short,
    verdict,
)

from holdfast._core.fault import fault_of


async def late() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


async def late_waiting() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 0.01)


async def open_connection(url: str) -> None:
    await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def connect_anyio(url: str) -> None:
    await anyio.connect_tcp("localhost", int(url.rpartition(":")[2]))


@pytest.mark.parametrize("wait", [late, late_waiting])
def test_a_timeout_of_asyncio_is_doubt(wait: Callable[[], Awaitable[None]]) -> None:
    """RET-04, RET-18."""

    async def send() -> None:
        await wait()

    assert short(verdict(lambda: asyncio.run(send()))) == ("ambiguous", "network", True)


@pytest.mark.parametrize("connect", [open_connection, connect_anyio])
def test_a_plain_connection_that_is_refused_is_transient(connect: Callable[[str], Any]) -> None:
    """RET-03: it says nothing of writes."""
    fault = verdict(lambda: asyncio.run(connect(nobody())))

    assert short(fault) == ("transient", "network", True)


def test_a_name_that_cannot_be_looked_up_is_transient() -> None:
    """RET-03."""
    error = error_of(lambda: socket.getaddrinfo("localhost", "no-such-service"))

    assert isinstance(error, socket.gaierror)
    assert short(fault_of(error, now=NOW)) == ("transient", "network", True)


def test_a_pipe_whose_reader_is_gone_leaves_doubt() -> None:
    """RET-03."""

    def send() -> None:
        ours, theirs = socket.socketpair()
        with ours:
            theirs.close()
            ours.sendall(b"x")

    error = error_of(send)

    assert isinstance(error, BrokenPipeError)
    assert short(fault_of(error, now=NOW)) == ("ambiguous", "network", True)


def test_a_connection_of_the_standard_library_that_ends_early_leaves_doubt() -> None:
    """RET-03."""

    def send() -> None:
        connection = HTTPConnection(server.url.removeprefix("http://"), timeout=5)
        try:
            connection.request("POST", "/")
            connection.getresponse().read()
        finally:
            connection.close()

    with Server(lambda *_: False, half) as server:
        errors = [error_of(send), error_of(send)]

    assert isinstance(errors[0], RemoteDisconnected)
    assert {short(fault_of(error, now=NOW)) for error in errors} == {("ambiguous", "network", True)}


def test_a_file_that_is_missing_is_no_fault_of_the_network() -> None:
    """RET-03."""
    fault = verdict(lambda: Path("/nowhere/at/all").read_text(encoding="utf-8"))

    assert short(fault) == ("ambiguous", "code", True)
    assert not fault.is_recognised
    assert not fault.blames_dependency


# Schemas


class Order(pydantic.BaseModel):
    amount: int


def test_a_value_that_does_not_fit_its_model_is_a_schema_fault() -> None:
    """RET-07: of what was sent or of what came back, so it says nothing of the write."""
    faults = [
        verdict(lambda: Order.model_validate({"amount": "many"})),
        verdict(lambda: jsonschema.validate("many", {"type": "integer"})),
    ]

    assert [short(fault) for fault in faults] == [("schema", "schema", True)] * 2


# PostgreSQL


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def raising(sqlstate: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SET statement_timeout = 20; SELECT pg_sleep(10)", ("transient", "server")),
        (raising("40001"), ("transient", "server")),
        (raising("40P01"), ("transient", "server")),
        (raising("40003"), ("ambiguous", "server")),
        (raising("53300"), ("transient", "server")),
        (raising("55P03"), ("transient", "server")),
        (raising("08006"), ("ambiguous", "network")),
        (raising("57P01"), ("ambiguous", "network")),
        ("SELECT pg_terminate_backend(pg_backend_pid())", ("ambiguous", "network")),
        (raising("28P01"), ("auth", "auth")),
        ("SELECT * FROM nothing_of_the_sort", ("permanent", "client")),
        ("SELECT 1 / 0", ("permanent", "client")),
        ("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (1)", ("permanent", "client")),
        (raising("XX000"), ("ambiguous", "server")),
    ],
)
def test_postgresql_says_by_its_code_what_became_of_a_statement(
    postgres_url: str, statement: str, expected: tuple[str, str]
) -> None:
    """RET-03: and never what became of a write elsewhere."""
    fault = verdict(partial(execute, postgres_url, statement))

    assert short(fault) == (*expected, True)


def test_a_database_that_cannot_be_reached_is_transient_and_one_that_is_lost_is_doubt(
    postgres_url: str,
) -> None:
    """RET-03."""
    nowhere = verdict(lambda: psycopg.connect(f"{nobody().replace('http', 'postgresql')}/x"))
    connection = psycopg.connect(postgres_url)
    connection.close()
    lost = verdict(lambda: connection.execute("SELECT 1"))

    assert short(nowhere) == ("transient", "network", True)
    assert short(lost) == ("ambiguous", "network", True)
