"""What ``holdfast doctor --app`` looks at: the clients of your tools that retry by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final

from holdfast.adapters.sdk_retries.clients import ClientRetries, client_retries
from holdfast.adapters.sdk_retries.kind import NO_LIMIT
from holdfast.adapters.sdk_retries.reach import reach
from holdfast.cli.app import load_ledger
from holdfast.cli.checks import Check, Level
from holdfast.cli.exits import Refused
from holdfast.cli.output import counted
from holdfast.ledger import Ledger, SyncLedger

_NAME: Final = "client retries"


@dataclass(slots=True)
class _Client:
    """A client that was found.

    Attributes:
        path: How the first tool that was found with it reaches it.
        tools: The names of the tools that can reach it.
    """

    path: str
    retries: ClientRetries
    tools: list[str] = field(default_factory=list[str])


def app_checks(app: str) -> list[Check]:
    """Import the user's module and look at the clients that its ledger's tools use.

    Args:
        app: ``module:ledger``, as for :func:`load_ledger`.
    """
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for our data, not for what your code prints
        try:
            ledger = load_ledger(app)
        except Refused as refused:
            return [Check("app", Level.FAIL, refused.what, refused.fix)]
        found = list(retry_checks(ledger, sys.modules.get(app.partition(":")[0])))
        if isinstance(ledger, Ledger):
            asyncio.run(ledger.close())
        else:
            ledger.close()
    return found


def retry_checks(ledger: Ledger | SyncLedger, module: ModuleType | None) -> Iterator[Check]:
    """Warn of each client that retries by itself below the policy of a tool.

    Args:
        ledger: Its declared tools are looked into.
        module: Also looked at is what lies at its top; ``None``: nothing.
    """
    clients = _clients(ledger, module)
    loud = [client for client in clients if client.retries.retries]
    for client in loud:
        yield _warning(client)
    if not loud:
        seen = f"{counted(len(clients), 'client')} seen"
        yield Check(_NAME, Level.OK, f"no client retries by itself ({seen})")


def _clients(ledger: Ledger | SyncLedger, module: ModuleType | None) -> list[_Client]:
    clients: dict[int, _Client] = {}
    tools = ledger._engine.shared.tools  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    for tool, registered in tools.items():
        for reached in reach(registered.handler):
            known = clients.setdefault(id(reached.client), _Client(reached.path, reached.retries))
            known.tools.append(tool)
    if module is not None:
        for name, value in vars(module).items():
            # A module that was imported is no client; what tools use of it was found with them.
            retries = None if type(value) is ModuleType else client_retries(value)
            if retries is not None:
                clients.setdefault(id(value), _Client(f"{module.__name__}.{name}", retries))
    return list(clients.values())


def _warning(client: _Client) -> Check:
    retries = client.retries
    users = f"used by {', '.join(client.tools)}" if client.tools else "used by no tool that is known"
    times = "any number of" if retries.retries == NO_LIMIT else f"up to {1 + retries.retries}"
    says = f"{client.path} ({retries.client}), {users}: one attempt may become {times} HTTP requests"
    fix = f"write {retries.fix}"
    if retries.can_be_set and "one_layer" not in retries.fix:
        fix += ", or pass it through holdfast.adapters.one_layer"
    return Check(_NAME, Level.WARN, says, fix)
