"""One trace per workflow: pauses, restarts and other workers do not break it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel import listening
from workflows.sites import Site

pytestmark = pytest.mark.kinds("memory", "sync-memory", "sqlite")


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return listening()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()


def lives(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name.startswith("workflow ")]


async def gone_through_twice(site: Site) -> None:
    first = site.open()

    async def asks(ctx: Any) -> Any:
        await ctx.step("think", lambda: 1)
        return await ctx.wait_for("go")

    await first.workflow(asks).begun("w")
    second = site.open()
    flow = second.workflow(asks)
    await second.signal("w", "go", "now")
    assert await flow.run("w") == "now"


async def test_all_lives_of_a_workflow_are_spans_of_the_trace_that_began_it(
    site: Site, spans: InMemorySpanExporter
) -> None:
    """OBS-26."""
    with trace.get_tracer("app").start_as_current_span("request") as request:
        await gone_through_twice(site)
    told = lives(spans)
    assert len(told) == 2
    assert {span.context.trace_id for span in told if span.context} == {request.get_span_context().trace_id}
    assert [link.context.span_id for span in told for link in span.links] == [
        request.get_span_context().span_id
    ] * 2
    assert {(span.attributes or {})["holdfast.workflow_id"] for span in told} == {"w"}


async def test_workers_who_never_heard_of_each_other_come_to_one_trace(
    site: Site, spans: InMemorySpanExporter
) -> None:
    """OBS-26: nobody traced the code that began it."""
    await gone_through_twice(site)
    told = lives(spans)
    assert len(told) == 2
    assert len({span.context.trace_id for span in told if span.context}) == 1


async def test_a_span_tells_that_a_life_broke_off_and_no_message_of_it(
    site: Site, spans: InMemorySpanExporter
) -> None:
    """OBS-26: what errors say may be secret."""
    process = site.open()

    async def first(ctx: Any) -> Any:
        await ctx.step("a", lambda: 1)
        return await ctx.wait_for("go")

    await process.workflow(first).begun("w")

    async def changed(ctx: Any) -> Any:
        return await ctx.step("hunter2", lambda: 1)

    other = site.open()
    changed.__name__ = first.__name__
    await process.signal("w", "go")
    with pytest.raises(Exception, match="differs from its record"):
        await other.workflow(changed).run("w")
    [*_, last] = lives(spans)
    assert last.status.description == "NonDeterminism"
    assert "hunter2" not in last.to_json()
