"""Stages 2 and 9: guards look at what goes in and at what comes out. A guard that raises denies."""

from __future__ import annotations

import json
from typing import Any

from holdfast._core.identity import Payload
from holdfast._core.model import JSON, Finding
from holdfast._core.redact import redact
from holdfast._runtime.parts import Parts
from holdfast.errors import PolicyDenied
from holdfast.ports import Facts


def inspect_in(parts: Parts, payload: Payload, facts: Facts) -> tuple[str, tuple[Finding, ...]]:
    """Return the arguments as they may be stored, and what the guards found.

    Raises:
        PolicyDenied: One of them said no, or raised. Nothing was recorded.
    """
    if not parts.guards:
        return payload.text, ()
    findings = _inspect(parts, payload.plain, facts)
    hidden = _hidden(findings)
    return (json.dumps(redact(payload.plain, hidden)) if hidden else payload.text), findings


def inspect_out(parts: Parts, result: JSON, facts: Facts) -> tuple[JSON, tuple[Finding, ...]]:
    """Return the result as it may be stored and given back, and what was found.

    Raises:
        PolicyDenied: It must not be given back. The effect is done all the same.
    """
    if not parts.guards:
        return result, ()
    findings = _inspect(parts, result, facts)
    return redact(result, _hidden(findings)), findings


def _hidden(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    return tuple(path for finding in findings if finding.action == "redact" for path in finding.paths)


def _inspect(parts: Parts, content: Any, facts: Facts) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    for guard in parts.guards:
        try:
            found = tuple(guard.inspect(content, facts))
        except Exception as error:
            reason = f"guard {type(guard).__qualname__} failed ({type(error).__qualname__})"
            raise PolicyDenied(facts.tool, reason) from error
        for finding in found:
            if finding.action == "deny":
                raise PolicyDenied(facts.tool, finding.message)
        findings += found
    return tuple(findings)
