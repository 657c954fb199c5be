"""Each request to a model is a span by OpenTelemetry's conventions, and none of its words is in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast import Budget, Graduated, Route
from holdfast.prices import PriceBook
from holdfast.testing import ModelServer
from holdfast.testing.model import Api, Streaming, fails, says
from models.office import PRICES, QUICK, Office
from otel import listening
from testing.model_clients import PLAIN, STREAMS, WAYS, Way

SECRET = "the launch code is 0000"
ASK = [{"role": "user", "content": SECRET}]
ANSWER = says(SECRET, usage={"input_tokens": 1_000, "output_tokens": 50, "cached_tokens": 900})
FINISH = {Api.CHAT: ("stop",), Api.RESPONSES: ("completed",), Api.MESSAGES: ("end_turn",)}
each_way = pytest.mark.parametrize("way", WAYS, ids=str)


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return listening()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()


@pytest.fixture(scope="module")
def meter() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader


def requests(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    """The ledger's own; Anthropic's client makes one around them."""
    finished = spans.get_finished_spans()
    return [
        each
        for each in finished
        if each.instrumentation_scope and each.instrumentation_scope.name == "holdfast"
    ]


@each_way
async def test_a_request_is_a_span_with_its_model_tokens_cost_and_place_on_record(
    way: Way, tmp_path: Any, spans: InMemorySpanExporter
) -> None:
    """OBS-01: by the names of the conventions."""
    office = Office(tmp_path, way)
    with ModelServer(ANSWER) as server:
        with trace.get_tracer("app").start_as_current_span("agent") as agent:
            heard = await office.ask(server, messages=ASK, workflow_id="run-1")
        [effect] = await office.told("effects", workflow_id="run-1")
    await office.close()

    [span] = requests(spans)
    told = dict(span.attributes or {})
    assert (span.name, span.kind) == ("chat m", trace.SpanKind.CLIENT)
    assert span.parent is not None
    assert span.parent.trace_id == agent.get_span_context().trace_id
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic" if way.is_anthropic else "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.response.id": heard.id,
        "gen_ai.response.finish_reasons": FINISH[way.api],
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 900,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "holdfast.tenant": "default",
        "holdfast.workflow_id": "run-1",
        "holdfast.key": effect.key,
        "holdfast.attempt": 1,
    }.items() <= told.items()
    assert told.get("gen_ai.request.stream") is (True if way.streams else None)
    assert told.get("gen_ai.request.max_tokens") == (10_000 if way.is_anthropic else None)
    assert SECRET not in span.to_json()


@pytest.mark.parametrize("way", PLAIN, ids=str)
async def test_each_attempt_is_a_span_of_its_own_with_the_status_that_it_met(
    way: Way, tmp_path: Any, spans: InMemorySpanExporter
) -> None:
    """OBS-01: and what the refusal says, which may be secret, is in none of them."""
    office = Office(tmp_path, way)
    with ModelServer(fails(503, SECRET), fails(500, SECRET), ANSWER) as server:
        await office.ask(server, retry=QUICK)
        assert len(server.asked) == 3
    await office.close()

    told = [dict(span.attributes or {}) for span in requests(spans)]
    assert [one.get("error.type") for one in told] == ["503", "500", None]
    assert [one["holdfast.attempt"] for one in told] == [1, 2, 3]
    assert [span.status.status_code.name for span in requests(spans)] == ["ERROR", "ERROR", "UNSET"]
    assert all(SECRET not in span.to_json() for span in requests(spans))


@each_way
async def test_an_answer_from_the_record_is_an_event_and_no_span(
    way: Way, tmp_path: Any, spans: InMemorySpanExporter
) -> None:
    """OBS-01, COS-15: as many spans as requests at the server, however often it is asked for."""
    office = Office(tmp_path, way)
    with ModelServer(ANSWER) as server:
        await office.ask(server, workflow_id="run-1")
        spans.clear()
        with trace.get_tracer("app").start_as_current_span("agent"):
            await office.ask(server, workflow_id="run-1")
        assert len(server.asked) == 1
    [effect] = await office.told("effects", workflow_id="run-1")
    await office.close()

    assert requests(spans) == []
    events = [event for span in spans.get_finished_spans() for event in span.events]
    assert [(event.name, dict(event.attributes or {})) for event in events] == [
        (
            "holdfast.replayed",
            {"holdfast.key": effect.key, "holdfast.workflow_id": "run-1", "gen_ai.request.model": "m"},
        )
    ]


@pytest.mark.parametrize("way", STREAMS, ids=str)
async def test_a_stream_that_breaks_off_is_told_as_an_error(
    way: Way, tmp_path: Any, spans: InMemorySpanExporter
) -> None:
    office = Office(tmp_path, way)
    broken = says("one two three four five", stream=Streaming(size=4, ends_after=4))
    with ModelServer(then=broken) as server:
        await office.end(server, retry=False)
        sent = len(server.asked)
    await office.close()

    told = [dict(span.attributes or {}) for span in requests(spans)]
    assert len(told) == sent == 1
    assert told[0]["error.type"] == "StreamBroken"
    assert "gen_ai.usage.output_tokens" not in told[0]


@pytest.mark.parametrize("way", PLAIN[:1] + PLAIN[-1:], ids=str)
async def test_a_request_that_a_budget_sent_elsewhere_says_so_with_its_cost(
    way: Way, tmp_path: Any, spans: InMemorySpanExporter
) -> None:
    """COS-09."""
    maker = "anthropic" if way.is_anthropic else "openai"
    prices = PriceBook(
        {f"{maker}/m": {"input": "1", "output": "10"}, f"{maker}/small": {"input": "0.1", "output": "1"}},
        bundled=False,
    )
    office = Office(tmp_path, way, prices=prices, budgets={"tenant": Budget(usd="1")})
    options: dict[str, Any] = {
        "graduated": Graduated(warn_at=None, slow_at=None),
        "routes": [Route(to=f"{maker}/small", reason="easy work")],
    }
    with ModelServer(says("Yes.", usage={"input_tokens": 1_000, "output_tokens": 50})) as server:
        await office.ask(server, **options)
    await office.close()

    [span] = requests(spans)
    told = dict(span.attributes or {})
    assert span.name == "chat small"
    assert told["holdfast.route.from"] == f"{maker}/m"
    assert (told["holdfast.cost.micros"], told["holdfast.cost.currency"]) == (100 + 50, "usd")


@pytest.mark.parametrize("way", PLAIN[:2], ids=str)
async def test_how_long_and_how_much_is_measured_by_model_and_by_how_it_ended(
    way: Way, tmp_path: Any, meter: InMemoryMetricReader
) -> None:
    """OBS-01."""
    meter.get_metrics_data()
    before = measured(meter)
    office = Office(tmp_path, way, prices=PRICES)
    with ModelServer(fails(503), ANSWER) as server:
        await office.ask(server, retry=QUICK)
        port = int(server.url.rpartition(":")[2])
    await office.close()

    here = {name: points for name, points in measured(meter).items() if name[1] == port}
    assert not any(name in before for name in here)
    assert here == {
        ("gen_ai.client.inference.duration", port, "503"): 1,
        ("gen_ai.client.inference.duration", port, None): 1,
        ("gen_ai.client.inference.usage.input_tokens", port, None): 1_000,
        ("gen_ai.client.inference.usage.output_tokens", port, None): 50,
    }


def measured(meter: InMemoryMetricReader) -> dict[tuple[str, Any, Any], float]:
    """How often something was measured, or how much in all, by name, port and error."""
    data = meter.get_metrics_data()
    found: dict[tuple[str, Any, Any], float] = {}
    for resource in [] if data is None else data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    about: Any = point.attributes or {}
                    place = metric.name, about.get("server.port"), about.get("error.type")
                    found[place] = point.count if hasattr(point, "count") else point.value
    return found
