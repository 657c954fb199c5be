"""Tools that depend on the same system agree on how much trouble with it is too much."""

from __future__ import annotations

from dataclasses import replace

from holdfast._core.contract import Contract
from holdfast._core.dependency import Dependency
from holdfast.errors import InvalidTool
from holdfast.ledger.undo import Registered


def agreed(tool: str, contract: Contract, tools: dict[str, Registered]) -> Contract:
    """Return *contract* with its dependency as the ledger's *tools* declare it, or give them this one's.

    A system that is only named is the one that another tool declares in full, whichever comes first.

    Raises:
        InvalidTool: Another tool declares other limits for the same system.
    """
    of = contract.dependency
    if of is None:
        return contract
    plain = Dependency(of.name)
    for name, known in tools.items():
        other = known.contract.dependency
        if other is None or other.name != of.name or other == of:
            continue
        if of == plain:
            return replace(contract, dependency=other)
        if other != plain:
            what = f"tools {name!r} and {tool!r} declare different limits for the dependency {of.name!r}"
            raise InvalidTool(what, "make one Dependency(...) and give it to both")
        tools[name] = replace(known, contract=replace(known.contract, dependency=of))
    return contract
