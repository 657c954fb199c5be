"""A Cedar schema from the tools' own arguments, and calls as that schema has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from holdfast.errors import InvalidPolicy
from holdfast.policies.patterns import is_name
from holdfast.policies.shapes import ArgType, ToolShape
from holdfast.ports import Facts

_KINDS: Final = {"int": "Long", "string": "String", "bool": "Bool"}
_CONTEXT: Final = (
    "approved: Set<String>, confidence: Long, environment: String, inferred: Set<String>, intent: String, "
    "now: Long, reversal: String, safety: String, tenant: String, undoes: String, workflow_id: String"
)


def seen(shape: ToolShape) -> frozenset[str]:
    """Return the arguments that Cedar's policies see: not floats nor maps, which it has not."""
    return frozenset(
        name for name, one in shape.arguments.items() if one.type is not None and _cedar_type(one.type)
    )


def _cedar_type(known: ArgType) -> str:
    """Return the type as Cedar has it; empty for what it has not: floats, and maps."""
    kind = _KINDS.get(known.kind, "")
    if not kind or known.many == "map":
        return ""
    return f"Set<{kind}>" if known.many == "list" else kind


def schema_of(shapes: Mapping[str, ToolShape], where: str) -> str:
    """Return the schema: an action per tool, so that each knows its own arguments."""
    actions: list[str] = []
    for name, shape in sorted(shapes.items()):
        if not is_name(name) or '"' in name or "\\" in name:
            raise InvalidPolicy(
                where, "", f"the tool {ascii(name)[:80]} has no plain name", "use visible ASCII"
            )
        tree: dict[str, Any] = {}
        for one in map(shape.arguments.__getitem__, sorted(seen(shape))):
            here = tree
            for step in one.path[:-1]:
                here = here.setdefault(step, {})
            here[one.path[-1]] = one.type
        actions.append(
            f'action "{name}" appliesTo {{ principal: Agent, resource: Tool, '
            f"context: {{ args: {_record(tree)}, {_CONTEXT} }} }};"
        )
    return "\n".join(["entity Agent;", "entity Tool;", *actions])


def _record(tree: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for name, one in tree.items():
        if isinstance(one, ArgType):
            parts.append(f'"{name}"{"?" if one.or_null else ""}: {_cedar_type(one)}')
        else:
            parts.append(f'"{name}": {_record(one)}')
    return f"{{ {', '.join(parts)} }}"


def context_of(facts: Facts, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's context.

    Raises:
        ValueError: Its confidence is none.
    """
    args: dict[str, Any] = {}
    for name, value in values.items():
        *steps, last = name.split(".")[1:]
        here = args
        for step in steps:
            here = here.setdefault(step, {})
        if value is not None:
            here[last] = value
    confidence = facts.confidence or 0.0
    if isinstance(confidence, bool) or not 0 <= confidence <= 1:
        msg = "confidence is no number from 0 to 1"
        raise ValueError(msg)
    return {
        "args": args,
        "approved": [],
        "confidence": int(confidence * 1000),
        "environment": facts.environment,
        "inferred": list(facts.inferred),
        "intent": facts.contract.intent or facts.tool,
        "now": int(facts.now.astimezone(UTC).timestamp()),
        "reversal": facts.contract.reversal,
        "safety": str(facts.contract.safety),
        "tenant": facts.tenant,
        "undoes": facts.undoes or "",
        "workflow_id": facts.workflow_id,
    }
