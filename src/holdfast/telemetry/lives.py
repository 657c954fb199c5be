"""Workflows in OpenTelemetry: all lives of one, on whatever worker, are spans of one trace.

The trace is that of the code that began the workflow. Where nobody traced that, its id is made of the
workflow's, so that workers who never heard of each other come to the same one.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from holdfast._core.execution import ExecutionRecord
from holdfast._core.model_trace import Attribute
from holdfast.ports.tracing import Told
from holdfast.telemetry import models

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""
_SAMPLED: Final = 1


class OpenTelemetryTracer:
    """Traces by the OpenTelemetry that the application has set up; not while it has not imported it."""

    def here(self) -> str:
        """Return the traceparent of the current span."""
        trace = _api()
        if trace is None:
            return ""
        span = trace.get_current_span().get_span_context()
        if not span.is_valid:
            return ""
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"

    def life(self, execution: ExecutionRecord) -> AbstractContextManager[None]:
        """Make a span of one life, within the workflow's trace."""
        trace = _api()
        return nullcontext() if trace is None else _span(trace, execution)

    def noted(self, name: str, attributes: Mapping[str, str]) -> None:
        """Add an event to the current span: the call that the model proposed is told of there."""
        trace = _api()
        if trace is not None:
            trace.get_current_span().add_event(name, attributes=dict(attributes))

    def decided(self, trace: str, attributes: Mapping[str, str]) -> None:
        """Make a span of a decision, linked to the span that the question was asked in."""
        api, found = _api(), _TRACEPARENT.fullmatch(trace)
        if api is None:
            return
        links = [] if found is None else [api.Link(_context(api, found))]
        span = api.get_tracer("holdfast").start_span(
            "decide_approval", attributes=dict(attributes), links=links
        )
        span.end()

    def asking(
        self, attributes: Callable[[], Mapping[str, Attribute]]
    ) -> AbstractContextManager[Told | None]:
        """Make a span of one request to a model, and count it."""
        return models.asking(attributes)


def _api() -> Any:
    """Return OpenTelemetry's tracing, if the application uses it."""
    return sys.modules.get("opentelemetry.trace")


@contextmanager
def _span(trace: Any, execution: ExecutionRecord) -> Generator[None]:
    parent = trace.NonRecordingSpan(_first(trace, execution))
    attributes = {
        "holdfast.tenant": execution.tenant,
        "holdfast.workflow_id": execution.workflow_id,
        "holdfast.workflow": execution.function,
        "holdfast.workflow.version": execution.version,
        "holdfast.epoch": execution.epoch,
    }
    with trace.get_tracer("holdfast").start_as_current_span(
        f"workflow {execution.function}",
        context=trace.set_span_in_context(parent),
        attributes=attributes,
        links=[trace.Link(parent.get_span_context())],
        record_exception=False,  # messages of errors may hold what the application keeps secret
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise


def _first(trace: Any, execution: ExecutionRecord) -> Any:
    """Return where the workflow was begun."""
    found = _TRACEPARENT.fullmatch(execution.trace)
    if found is not None:
        return _context(trace, found)
    name = f"{execution.tenant}\0{execution.workflow_id}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(name).digest()
    trace_id, span_id = int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
    return _remote(trace, trace_id, span_id, _SAMPLED)


def _context(trace: Any, found: re.Match[str]) -> Any:
    return _remote(trace, int(found[1], 16), int(found[2], 16), int(found[3], 16))


def _remote(trace: Any, trace_id: int, span_id: int, flags: int) -> Any:
    return trace.SpanContext(
        trace_id=trace_id, span_id=span_id, is_remote=True, trace_flags=trace.TraceFlags(flags)
    )
