"""What can be wrong with the database."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors.base import HoldfastError


class StoreError(HoldfastError):
    """Base of what can be wrong with the database."""

    code = "store"


class StoreUnavailable(StoreError):
    """The database cannot be reached, or cannot take writes.

    Raised before the handler ran, unless the error is :class:`OutcomeUnknown`.

    Attributes:
        operation: What the ledger was doing.
        why: The database's own words, without credentials.
        key: The effect's key, when there is one.
        lasts: Waiting does not mend it: a wrong password, an unknown database, a file that is none.
    """

    code = "store-unavailable"

    def __init__(self, operation: str, why: str, key: str | None = None, *, lasts: bool = False) -> None:
        super().__init__(operation, why, key)
        self.operation = operation
        self.why = why
        self.key = key
        self.lasts = lasts

    def __str__(self) -> str:
        about = f" for effect {self.key!r}" if self.key else ""
        return (
            f"the ledger's database failed to {self.operation}{about}: {self.why}; "
            f"check it with `holdfast doctor`"
        )


class StoreInvariant(StoreError):
    """The database holds what it must not hold (a row vanished, a constraint refused a write).

    Attributes:
        operation: What the ledger was doing.
        why: What was found.
        key: The effect's key, when there is one.
    """

    code = "store-invariant"

    def __init__(self, operation: str, why: str, key: str | None = None) -> None:
        super().__init__(operation, why, key)
        self.operation = operation
        self.why = why
        self.key = key

    def __str__(self) -> str:
        about = f" for effect {self.key!r}" if self.key else ""
        return f"cannot {self.operation}{about}: {self.why}; run `holdfast audit verify`"


class PayloadSealed(StoreError, ValueError):
    """A recorded payload is sealed, and this ledger cannot open it. Nothing ran.

    Attributes:
        key: The effect's key.
        why: What keeps it closed.
    """

    code = "payload-sealed"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key = key
        self.why = why

    def __str__(self) -> str:
        return (
            f"the recorded payload of effect {self.key!r} is sealed: {self.why}; nothing ran. "
            f"Open the ledger with the codec and the key that sealed it"
        )


class SchemaOutdated(StoreError):
    """The database's tables are older or newer than this library. Nothing ran.

    Attributes:
        found: The migrations that the database knows.
        wanted: The migrations that this library needs.
    """

    code = "schema-outdated"

    def __init__(self, found: Sequence[str], wanted: Sequence[str]) -> None:
        super().__init__(tuple(found), tuple(wanted))
        self.found = tuple(found)
        self.wanted = tuple(wanted)

    def __str__(self) -> str:
        missing = [name for name in self.wanted if name not in self.found]
        if missing:
            return (
                f"the ledger's tables lack {', '.join(missing)}; run `holdfast migrate` or pass migrate=True"
            )
        newer = [name for name in self.found if name not in self.wanted]
        return f"the ledger's tables are newer than this library ({', '.join(newer)}); upgrade holdfast"


class InvalidURL(StoreError, ValueError):
    """The ledger's URL cannot be used.

    Attributes:
        url: The URL, without its password.
        why: What is wrong with it.
    """

    code = "invalid-url"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url = url
        self.why = why

    def __str__(self) -> str:
        return (
            f"ledger URL {self.url!r}: {self.why}; use sqlite:///path/to/file.db, "
            f"postgresql://user@host/database or memory://"
        )
