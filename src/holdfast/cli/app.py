"""``--app MODULE:LEDGER``: the ledger that the user's own code makes, with its declared tools."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Coroutine
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from holdfast._runtime.drive import run_sync
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.session import Session, refuse_absent
from holdfast.ledger import Ledger, SyncLedger

T = TypeVar("T")


def app_ledger(session: Session, app: str | None, *, what: str, instead: str = "") -> Ledger | SyncLedger:
    """Return the ledger that ``--app`` names, for the tenant that the command line names.

    Args:
        what: What the command needs of the user's code.
        instead: What else can be done without it.

    Raises:
        Refused: Nothing names one, it is named twice over, or it cannot be had.
    """
    if app is None:
        told = f"{what} part of your code, and nothing says where that is"
        raise Refused(told, f"pass --app MODULE:LEDGER{instead}")
    if session.url is not None:
        raise Refused("--url and --app name two ledgers", "leave --url out: the one of --app has its own")
    ledger = load_ledger(app)
    if session.tenant is not None:
        return ledger.scoped(tenant=session.tenant)
    tenant = ledger._engine.tenant  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    if tenant != session.tenant_name:
        session.tenant = tenant  # the next commands, which do not know the application, have to name it
    return ledger


def completed(ledger: Ledger | SyncLedger, work: Coroutine[Any, Any, T]) -> T:
    """Drive *work* on a ledger of either kind to its end."""
    return run_sync(work) if isinstance(ledger, SyncLedger) else asyncio.run(work)


async def answer(given: Any) -> Any:
    """Return what a ledger's method answers: a Ledger's is awaited, a SyncLedger's is there already."""
    return await given if inspect.isawaitable(given) else given


def load_ledger(app: str, by: str = "--app") -> Ledger | SyncLedger:
    """Import the module that *app* names and return its ledger.

    Args:
        app: ``module:attribute``; the attribute may be left out when the module has one ledger.
        by: What stands before it on the command line.

    Raises:
        Refused: There is no such module or ledger, or importing it failed.
    """
    name, _, attribute = app.partition(":")
    module = _import(name)
    found = _attribute(module, attribute, by) if attribute else _sole(module, by)
    if not isinstance(found, Ledger | SyncLedger):
        what = f"{app!r} is of type {type(found).__name__}, not a Ledger or SyncLedger"
        raise Refused(what, _hint(module, by))
    # The file of a ledger that does not exist would be created: a typo, or the wrong directory.
    refuse_absent(found._engine.parts.store)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return found


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            what = f"importing {name!r} failed: it needs {error.name!r}, which is not installed here"
            raise Refused(what, "run holdfast in your application's environment", Exit.FAILED) from error
        what = f"there is no module {error.name!r} in {here} or on the Python path"
        raise Refused(what, "run this in your project's directory, or name it in full") from error
    except Exception as error:
        what = f"importing {name!r} failed with {type(error).__name__}: {error}"
        fix = f"see it whole with `python -c 'import {name}'`"
        raise Refused(what, fix, Exit.FAILED) from error


def _attribute(module: ModuleType, attribute: str, by: str) -> object:
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        raise Refused(f"{module.__name__!r} has no {attribute!r}", _hint(module, by)) from error


def _sole(module: ModuleType, by: str) -> object:
    names = _ledgers(module)
    if len(names) != 1:
        raise Refused(f"{module.__name__!r} has {len(names)} ledgers", _hint(module, by))
    return getattr(module, names[0])


def _ledgers(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Ledger | SyncLedger)]


def _hint(module: ModuleType, by: str) -> str:
    names = [f"{by} {module.__name__}:{name}" for name in _ledgers(module)]
    return (
        f"try {' or '.join(names)}" if names else "make one at the top of that module: ledger = Ledger(...)"
    )
