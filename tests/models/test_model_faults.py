"""What goes wrong at a model's provider, through the official clients: waited for, tried again, or ended at once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from holdfast import Alert
from holdfast.errors import CircuitOpen, WorkflowStopped
from holdfast.testing import FakeClock, FakeRuntime, ModelServer, ledger_on, sync_ledger_on
from holdfast.testing.model import fails, rate_limited, says
from holdfast.testing.places import places
from models.office import QUICK
from testing.model_clients import PLAIN, WAYS, Way

each_way = pytest.mark.parametrize("way", WAYS, ids=str)
plain_ways = pytest.mark.parametrize("way", PLAIN, ids=str)
Line = Any


class Desk:
    """Processes over one store, and a provider, under one clock that waiting moves.

    Attributes:
        at: When each request came, in seconds.
        alerts: What people were told.
    """

    def __init__(self, path: Path, way: Way) -> None:
        self.way, self.clock = way, FakeClock()
        self.at: list[float] = []
        self.alerts: list[Alert] = []
        self._open = places("sqlite", path, blocking=not way.is_async)()
        self._tokens = itertools.count(1)
        self._ledgers: list[Any] = []

    def server(self, *lines: Line, then: Line | None = None, **options: Any) -> ModelServer:
        """A provider that notes when it was asked."""
        script = [self._noted(line) for line in lines]
        return ModelServer(
            *script, then=None if then is None else self._noted(then), clock=self.clock, **options
        )

    def _noted(self, line: Line) -> Line:
        def note(request: Any) -> Any:
            del request
            self.at.append(self.clock.monotonic())
            return line

        return note

    def ledger(self) -> Any:
        """A ledger as a new process has it."""
        make = ledger_on if self.way.is_async else sync_ledger_on
        runtime = FakeRuntime(self.clock, blocking=not self.way.is_async, tokens=self._tokens)
        name = f"process-{len(self._ledgers)}"
        ledger = make(self._open(self.clock), runtime, owner=name, on_alert=self.alerts.append)
        self._ledgers.append(ledger)
        return ledger

    async def end(self, server: Any, *, client: Any = None, **options: Any) -> Any:
        """What one call in a new process returns or raises."""
        sdk = self.ledger().model(self.way.client(server, **(client or {})), **options)
        try:
            return await self.way.ask_with(sdk)
        except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
            return error

    async def effects(self) -> list[Any]:
        found = self.ledger().effects()
        return list(await found if self.way.is_async else found)

    async def close(self) -> None:
        for ledger in self._ledgers:
            closing = ledger.close()
            if self.way.is_async:
                await closing

    @property
    def waits(self) -> list[float]:
        """The pauses between requests."""
        return [round(later - sooner, 3) for sooner, later in itertools.pairwise(self.at)]


@each_way
async def test_a_rate_limit_is_waited_for_and_the_fifth_in_a_row_opens_the_circuit(
    way: Way, tmp_path: Path
) -> None:
    """RET-05: as long as the provider says; then nothing is sent, by no process."""
    desk = Desk(tmp_path, way)
    with desk.server(then=rate_limited(2)) as server:
        limited = await desk.end(server)
        refused = await desk.end(server)

    assert type(limited).__name__ == "RateLimitError"
    assert len(desk.at) == 5
    assert all(wait >= 2 for wait in desk.waits)
    assert isinstance(refused, CircuitOpen)
    assert refused.dependency == "127.0.0.1"
    assert "circuit_opened" in {alert.code for alert in desk.alerts}
    await desk.close()


@each_way
@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_told_once_and_stop_the_workflow(
    way: Way, status: int, tmp_path: Path
) -> None:
    """RET-09: one request, one alert; what the workflow asks next is not sent."""
    desk = Desk(tmp_path, way)
    with desk.server(then=fails(status)) as server:
        refused = await desk.end(server, workflow_id="run-1")
        stopped = [await desk.end(server, workflow_id="run-1") for _ in range(2)]
        other = await desk.end(server, workflow_id="run-2")

    kind = "AuthenticationError" if status == 401 else "PermissionDeniedError"
    assert type(refused).__name__ == type(other).__name__ == kind
    assert [type(each) for each in stopped] == [WorkflowStopped] * 2
    assert len(desk.at) == 2
    told = [alert for alert in desk.alerts if alert.code == "auth_failed"]
    assert [alert.workflow_id for alert in told] == ["run-1", "run-2"]
    await desk.close()


@plain_ways
async def test_processes_share_one_circuit_per_host_and_it_closes_again(way: Way, tmp_path: Path) -> None:
    """RET-16."""
    desk = Desk(tmp_path, way)
    with desk.server(*[fails(500)] * 10, then=says("Back.")) as server:
        for _ in range(10):
            await desk.end(server, retry=False)
        refused = [await desk.end(server, retry=False) for _ in range(3)]
        sent = len(desk.at)
        desk.clock.advance(40)
        back = [await desk.end(server, retry=False) for _ in range(3)]

    assert sent == 10
    assert [type(each) for each in refused] == [CircuitOpen] * 3
    assert [heard.text for heard in back] == ["Back."] * 3
    await desk.close()


@each_way
async def test_a_client_with_retries_of_its_own_sends_as_many_requests_as_the_policy_says(
    way: Way, tmp_path: Path
) -> None:
    """RET-19: five are asked for by the client, and three attempts by the policy."""
    desk = Desk(tmp_path, way)
    with desk.server(then=fails(503)) as server:
        failed = await desk.end(server, client={"max_retries": 5}, retry=QUICK)
        sent = server.requests

    [effect] = await desk.effects()
    assert type(failed).__name__ in {"InternalServerError", "ServiceUnavailableError"}
    assert sent == len(desk.at) == effect.attempt == 3
    await desk.close()


@each_way
async def test_a_server_error_is_tried_three_times_more_and_a_broken_connection_as_well(
    way: Way, tmp_path: Path
) -> None:
    """RET-06: by the table; and the answer is the one that came in the end."""
    desk = Desk(tmp_path, way)
    with desk.server(fails(500), fails(503), then=says("At last.")) as server:
        server.plan("drop_before")
        heard = await desk.end(server)
        sent = server.requests
        down = await desk.end(server, workflow_id="other", retry=False)

    assert heard.text == down.text == "At last."
    assert sent == 4
    await desk.close()


@each_way
@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_request_that_does_not_fit_is_sent_once_and_its_refusal_is_on_record(
    way: Way, status: int, tmp_path: Path
) -> None:
    """RET-08: whoever asks the same again hears the same error, and nothing is sent."""
    desk = Desk(tmp_path, way)
    with desk.server(then=fails(status)) as server:
        first = await desk.end(server, workflow_id="run-1")
        again = await desk.end(server, workflow_id="run-1")

    kind = {400: "BadRequestError", 404: "NotFoundError", 422: "UnprocessableEntityError"}[status]
    assert type(first).__name__ == type(again).__name__ == kind
    assert len(desk.at) == 1
    [effect] = await desk.effects()
    assert (effect.state, effect.attempt) == ("failed", 1)
    await desk.close()
