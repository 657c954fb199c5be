"""Which ledger a command talks to: ``--url``, ``--tenant`` and ``--json``, and the ledger behind them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import click

from holdfast._runtime.drive import run_sync
from holdfast.cli.exits import Exit, Refused
from holdfast.errors import SchemaOutdated
from holdfast.ledger import SyncLedger
from holdfast.ledger.urls import open_store, without_password
from holdfast.ports import Codec, Store
from holdfast.settings import DEFAULT_URL, Settings, from_environment
from holdfast.stores.migrate import Migration
from holdfast.stores.sqlite.store import SqliteStore

F = TypeVar("F", bound="Callable[..., Any]")
_EXAMPLES: Final = "\b\nExamples:\n"


@runtime_checkable
class Migrating(Protocol):
    """A store that has tables."""

    async def migrate(self) -> tuple[str, ...]:
        """Create or upgrade the tables; return the names of the migrations that ran."""
        ...

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return what :meth:`migrate` would run."""
        ...


@dataclass(slots=True)
class Session:
    """What the command line says about the ledger, before or after the subcommand.

    Attributes:
        url: ``None`` for what the environment says.
        tenant: ``None`` for the ledger's own default.
        as_json: Print NDJSON.
    """

    url: str | None = None
    tenant: str | None = None
    as_json: bool = False

    @property
    def effective_url(self) -> str:
        """The URL that is used, password and all."""
        return self.url if self.url is not None else os.environ.get("HOLDFAST_URL", DEFAULT_URL)

    @property
    def url_source(self) -> str:
        """Where the URL comes from."""
        if self.url is not None:
            return "--url"
        return "$HOLDFAST_URL" if "HOLDFAST_URL" in os.environ else "default"

    @property
    def tenant_name(self) -> str:
        """The tenant whose effects are looked at."""
        return self.tenant if self.tenant is not None else "default"

    def command(self, text: str, *, by_url: bool = True) -> str:
        """Return a holdfast command to try next, with the options that this one was given.

        Args:
            text: The command and its own options.
            by_url: Whether the command finds its ledger by a URL.
        """
        words = ["holdfast", text]
        if by_url and self.url is not None:  # with *** for a password, which the reader has to put back
            words += ["--url", shlex.quote(without_password(self.url))]
        if self.tenant is not None:
            words += ["--tenant", shlex.quote(self.tenant)]
        return " ".join(words)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def remember(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
        session = ctx.ensure_object(Session)
        if value is not None and value is not False:  # not given here, but perhaps before the subcommand
            setattr(session, name, value)
        return value

    return remember


_OPTIONS: Final = (
    click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        callback=_remember("url"),
        help="The ledger; default $HOLDFAST_URL, else sqlite:///holdfast.db.",
    ),
    click.option(
        "--tenant",
        metavar="NAME",
        expose_value=False,
        callback=_remember("tenant"),
        help="Whose effects; default 'default'.",
    ),
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        callback=_remember("as_json"),
        help="One JSON object per line.",
    ),
)


def session_options(function: F) -> F:
    """Give a command ``--url``, ``--tenant`` and ``--json``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def examples(*commands: str) -> str:
    """Return a help text's examples."""
    return _EXAMPLES + "\n".join(f"  {command}" for command in commands)


def store_of(session: Session, settings: Settings) -> Store:
    """Return the store that the command line names, not yet opened; it never creates tables by itself."""
    return open_store(session.effective_url, settings, blocking=True, migrate=False)


def file_of(store: Store) -> Path | None:
    """Return the file that a ledger lives in, if it does."""
    return Path(store.database.path).absolute() if isinstance(store, SqliteStore) and store.durable else None


def refuse_absent(store: Store) -> None:
    """Refuse a ledger file that does not exist: opening it would create it, and hide the typo.

    Raises:
        Refused: There is no such file.
    """
    path = file_of(store)
    if path is not None and not path.is_file():
        what = f"there is no ledger at {path}"
        fix = "check --url and the working directory, or create it with `holdfast migrate`"
        if not path.parent.is_dir():
            fix = f"the directory {path.parent} does not exist either: check --url"
        raise Refused(what, fix, Exit.NOTHING_FOUND)


def outstanding(store: Store) -> tuple[Migration, ...]:
    """Return the migrations that the ledger lacks."""
    return run_sync(store.pending_migrations()) if isinstance(store, Migrating) else ()


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger that exists and is up to date."""

    store: Store
    ledger: SyncLedger


@contextmanager
def opened(session: Session, codec: Codec | None = None) -> Generator[Opened]:
    """Open the ledger that the command line names; nothing is created and nothing migrated.

    Args:
        codec: Opens its payloads; without one, what is sealed is refused.

    Raises:
        Refused: There is no such ledger.
        SchemaOutdated: Its tables are older or newer than this library.
        StoreUnavailable: It cannot be reached.
    """
    settings = from_environment()
    store = store_of(session, settings)
    refuse_absent(store)
    tenant = session.tenant_name
    with SyncLedger(store, tenant=tenant, actor="cli", settings=settings, codec=codec) as ledger:
        missing = outstanding(store) if file_of(store) else ()  # SQLite would migrate by itself
        if missing:
            raise SchemaOutdated((), [migration.name for migration in missing])
        yield Opened(store, ledger)
