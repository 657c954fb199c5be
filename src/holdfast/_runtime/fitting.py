"""Whether arguments fit the function, and the schema, that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast._core.model import Undone
from holdfast._runtime.handler import Shape
from holdfast._runtime.misfits import misfit
from holdfast.errors import InvalidCall, SchemaMismatch
from holdfast.ports import Facts


def kwargs_for(
    shape: Shape | None, facts: Facts, args: Mapping[str, Any], undone: Undone | None
) -> Mapping[str, Any]:
    """Return what the handler is called with.

    Raises:
        SchemaMismatch: The arguments do not fit the handler, or the tool's schema. Nothing was recorded.
    """
    if undone is not None:
        return {}  # a compensation is given the effect that it undoes, and nothing else
    if shape is not None and shape.undone_param is not None:
        what = f"{facts.tool!r} undoes an effect, and this call has none for it"
        raise InvalidCall(what, "undo with ledger.compensate(workflow_id, reason=...); nothing ran")
    if facts.contract.schema is not None:
        try:
            facts.contract.schema(dict(args))
        except SchemaMismatch:
            raise  # the author's own words
        except Exception as error:
            why = misfit(error, facts.contract.schema, args)
            what = f"the arguments of {facts.tool!r} do not fit its schema: {why}"
            raise SchemaMismatch(what, "correct them and call again; nothing ran") from error
    return args if shape is None else shape.kwargs(facts.tool, args)
