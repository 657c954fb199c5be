"""A schema that is lent to another test cannot be told from a new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from holdfast import SyncLedger, ToolCall
from pg_server import ForeignServer, PostgresServer
from schemas import Schema, Schemas

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 1})


@pytest.fixture
def schemas(postgres_server: PostgresServer | ForeignServer) -> Iterator[Schemas]:
    """Schemas of this test's own."""
    with closing(Schemas(postgres_server.url)) as schemas:
        yield schemas


def do(schemas: Schemas, schema: Schema, statement: str) -> list[Any]:
    with psycopg.connect(schemas.url(schema), autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def lent_after(schemas: Schemas, schema: Schema, *statements: str) -> Schema:
    """What is lent once *schema* was given back after these statements."""
    for statement in statements:
        do(schemas, schema, statement)
    schemas.take_back(schema)
    return schemas.lend()


def test_what_was_written_is_gone_and_numbers_begin_anew(schemas: Schemas) -> None:
    schema = schemas.lend()
    with SyncLedger(schemas.url(schema)) as ledger:
        ledger.run(CALL, handler=lambda amount: amount)
    numbers = do(schemas, schema, "SELECT min(id) FROM holdfast_audit")

    again = lent_after(schemas, schema)

    assert again.name == schema.name
    with SyncLedger(schemas.url(again)) as ledger:
        assert ledger.effects() == []
        ledger.run(CALL, handler=lambda amount: amount)
    assert do(schemas, again, "SELECT min(id) FROM holdfast_audit") == numbers == [(1,)]
    schemas.take_back(again)


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE mine (n int)",),
        ("DROP TABLE holdfast_halt",),
        ("DROP TABLE holdfast_migration",),
        ("ALTER TABLE holdfast_effect ADD COLUMN mine int",),
        ("ALTER TABLE holdfast_effect ALTER COLUMN args DROP NOT NULL",),
        ("ALTER TABLE holdfast_effect ALTER COLUMN fence SET DEFAULT 7",),
        ("ALTER TABLE holdfast_effect ADD CHECK (fence < 7)",),
        ("CREATE INDEX ON holdfast_effect (args)",),
        (
            "CREATE TRIGGER t BEFORE INSERT ON holdfast_effect EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "CREATE TRIGGER t BEFORE INSERT ON holdfast_effect FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER t ON holdfast_effect",
            "DROP FUNCTION refuse",
        ),
        ("CREATE RULE r AS ON INSERT TO holdfast_effect DO INSTEAD NOTHING",),
        ("ALTER TYPE holdfast_state ADD VALUE 'melted'",),
        ("REVOKE ALL ON holdfast_effect FROM PUBLIC", "GRANT SELECT ON holdfast_effect TO PUBLIC"),
        ("UPDATE holdfast_migration SET sha256 = 'x'",),
        ("DELETE FROM holdfast_migration WHERE name LIKE '0001%'",),
        ("INSERT INTO holdfast_migration (name, sha256) VALUES ('9999_pre_future', 'x')",),
        ("INSERT INTO holdfast_halt SELECT * FROM holdfast_halt", "ANALYZE holdfast_halt"),
        ("TRUNCATE holdfast_effect",),
    ],
    ids=lambda statements: statements[0][:60],
)
def test_what_was_altered_is_not_lent_again(schemas: Schemas, statements: tuple[str, ...]) -> None:
    schema = schemas.lend()

    other = lent_after(schemas, schema, *statements)

    assert other.name != schema.name
    assert do(schemas, other, f"SELECT to_regnamespace('{schema.name}')") == [(None,)]
    schemas.take_back(other)


def test_it_is_not_lent_while_somebody_who_came_meanwhile_is_still_there(schemas: Schemas) -> None:
    schema = schemas.lend()
    with psycopg.connect(schemas.url(schema), autocommit=True):
        schemas.take_back(schema)
        other = schemas.lend()
    schemas.take_back(other)

    assert other.name != schema.name


def test_who_leaves_a_transaction_open_is_told(schemas: Schemas) -> None:
    schema = schemas.lend()

    with psycopg.connect(schemas.url(schema)) as connection:
        connection.execute("SELECT count(*) FROM holdfast_effect")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            schemas.take_back(schema)
    schemas.take_back(schema)
