"""Model calls in OpenTelemetry: a span for each request that is sent, and how long and how much in all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from holdfast._core.model_request import ProviderRefused
from holdfast._core.model_trace import (
    ADDRESS,
    ANSWERED_BY,
    ERROR,
    INPUT,
    MODEL,
    OPERATION,
    OUTPUT,
    PORT,
    PROVIDER,
    Attribute,
)
from holdfast.ports.tracing import Told

_SCOPE: Final = "holdfast"
_BUCKETS_S: Final = tuple(0.01 * 2**n for n in range(14))
"""Those that the conventions name."""
_MEASURED: Final = (OPERATION, PROVIDER, MODEL, ANSWERED_BY, ADDRESS, PORT, ERROR)
"""By what calls are told apart when they are counted: none of it grows with the number of calls."""


def asking(attributes: Callable[[], Mapping[str, Attribute]]) -> AbstractContextManager[Told | None]:
    """Surround one request to a model; gives what is to be told of its answer, if anybody listens."""
    trace, metrics = sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.metrics")
    if trace is None and metrics is None:
        return nullcontext()
    return _asked(trace, metrics, attributes())


@contextmanager
def _asked(trace: Any, metrics: Any, asked: Mapping[str, Attribute]) -> Generator[Told]:
    told, began = dict(asked), time.perf_counter()
    with nullcontext() if trace is None else _span(trace, asked) as span:
        try:
            yield told.update
        except BaseException as error:
            told[ERROR] = _class_of(error)
            if span is not None:
                span.set_status(trace.Status(trace.StatusCode.ERROR, told[ERROR]))
            raise
        finally:
            if span is not None:
                span.set_attributes({name: told[name] for name in told if name not in asked})
            if metrics is not None:
                _measure(metrics, told, time.perf_counter() - began)


def _span(trace: Any, asked: Mapping[str, Attribute]) -> Any:
    return trace.get_tracer(_SCOPE).start_as_current_span(
        f"{asked[OPERATION]} {asked.get(MODEL, '')}".rstrip(),
        kind=trace.SpanKind.CLIENT,
        attributes=dict(asked),
        record_exception=False,  # messages of errors may hold what the application keeps secret
        set_status_on_exception=False,
    )


def _class_of(error: BaseException) -> str:
    """Return the status of a refusal, or what kind of error it was; never what it says."""
    return str(error.status_code) if isinstance(error, ProviderRefused) else type(error).__qualname__


def _measure(metrics: Any, told: Mapping[str, Attribute], seconds: float) -> None:
    meter = metrics.get_meter(_SCOPE)
    about = {name: told[name] for name in _MEASURED if name in told}
    meter.create_histogram(
        "gen_ai.client.inference.duration",
        unit="s",
        description="How long requests to models took",
        explicit_bucket_boundaries_advisory=_BUCKETS_S,
    ).record(seconds, about)
    for name, what in ((INPUT, "input_tokens"), (OUTPUT, "output_tokens")):
        if name in told:
            meter.create_counter(
                f"gen_ai.client.inference.usage.{what}",
                unit="{token}",
                description=f"What models used, by their providers' count: {what.replace('_', ' ')}",
            ).add(told[name], about)
