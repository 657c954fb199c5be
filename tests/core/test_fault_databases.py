"""What a database says of a statement, it says of nothing else."""

from __future__ import annotations

import pytest
from faulty import make, short


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("40001", ("transient", "server")), ("40P01", ("transient", "server")), ("40003", ("ambiguous", "server")),
        ("57014", ("transient", "server")), ("55P03", ("transient", "server")), ("53300", ("transient", "server")),
        ("08006", ("ambiguous", "network")), ("57P01", ("ambiguous", "network")), ("28P01", ("auth", "auth")),
        ("22012", ("permanent", "client")), ("23505", ("permanent", "client")), ("42P01", ("permanent", "client")),
        ("25006", ("permanent", "client")), ("25P02", ("ambiguous", "server")), ("XX000", ("ambiguous", "server")),
        ("4000", ("ambiguous", "code")), ("40001x", ("ambiguous", "code")), (40001, ("ambiguous", "code")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["sqlstate", "pgcode"])
def test_a_code_of_postgresql_says_nothing_of_a_write_elsewhere(
    field: str, sqlstate: object, expected: tuple[str, str]
) -> None:
    """RET-03."""
    assert short(make("driver.Error", method="POST", **{field: sqlstate})) == (*expected, True)


def test_a_databases_refusal_is_no_evidence_even_if_it_tells_of_a_write() -> None:
    """RET-10."""
    error = make("psycopg.OperationalError", sqlstate="40001", method="POST")

    assert short(error) == ("transient", "server", True)
