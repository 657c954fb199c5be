"""An answer comes too late, and three layers try again: the client, the agent, and the queue that delivers its job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import openai

from holdfast import Effect, Settings, SyncLedger, SyncWorkflow
from holdfast.demo.incidents.figures import MODEL, PRICES, CountedModel, Incident, Played, Run
from holdfast.demo.incidents.service import Service
from holdfast.errors import HoldfastError
from holdfast.prices import Money
from holdfast.testing.faultserver import FaultServer
from holdfast.testing.model import ModelServer, by_position

_REPORTED: Final = Money.parse("47000")
_LEADS: Final = ("ada", "grace", "katherine", "mary")
_DELIVERIES: Final = 5
_ATTEMPTS: Final = 3
_PRICE: Final = Money.parse("0.50")
_LOST: Final = 100
"""The answers for the last lead are lost, whenever it is asked for."""
_AT_ONCE: Final = Settings(reconcile_skew=0.001)


def _question(lead: str) -> Any:
    return [{"role": "user", "content": f"Which facts about {lead} are to be bought? {'notes ' * 400}"}]


def _without(model: CountedModel) -> Run:
    with (
        ModelServer(model) as models,
        FaultServer(deduplicates=False) as server,
        openai.OpenAI(base_url=models.openai_url, api_key="any") as client,
    ):
        service = Service(server.url)
        server.plan(*["ok", "ok", "ok", *["drop_after"] * _ATTEMPTS] * _DELIVERIES, method="POST")
        for _ in range(_DELIVERIES):
            try:
                for lead in _LEADS:
                    client.chat.completions.create(model=MODEL, messages=_question(lead), max_tokens=300)
                    _persistent(service, lead)
            except ConnectionError:
                continue
        bought = len(server.commits())
    return model.run(f"the queue gave up after {_DELIVERIES} deliveries", acts=bought, paid=_PRICE)


def _persistent(service: Service, lead: str) -> None:
    """Ask as a client does that tries again by itself."""
    for attempt in range(_ATTEMPTS):
        try:
            service.pay(50, lead)
        except ConnectionError:
            if attempt + 1 == _ATTEMPTS:
                raise
        else:
            return


def _guarded(model: CountedModel, home: Path) -> Run:
    with (
        ModelServer(model) as models,
        FaultServer(deduplicates=False) as server,
        SyncLedger(f"sqlite:///{home}/retries.db", prices=PRICES, settings=_AT_ONCE) as ledger,
        ledger.model(openai.OpenAI(base_url=models.openai_url, api_key="any")) as client,
    ):
        service = Service(server.url)
        server.plan("ok", "ok", "ok", *["drop_after"] * _LOST, method="POST")

        def buy(lead: str, effect: Effect) -> dict[str, Any]:
            return service.pay(50, lead, key=effect.idem_key)

        tool: Any = ledger.tool(cost=_PRICE, reconcile=service.find)(buy)

        @ledger.workflow
        def enrich(ctx: SyncWorkflow) -> int:
            for lead in _LEADS:
                client.chat.completions.create(model=MODEL, messages=_question(lead), max_tokens=300)
                tool(lead=lead)
            return len(_LEADS)

        ended = f"not within {_DELIVERIES} deliveries"
        for delivery in range(1, _DELIVERIES + 1):
            try:
                enrich.run("job-7")
                ended = f"completed at delivery {delivery}"
                break
            except HoldfastError:
                continue
        bought = len(server.commits())
    return model.run(ended, acts=bought, paid=_PRICE)


def play(home: Path) -> Played:
    """Play it."""
    script = by_position("Company, role, and address.")
    without, guarded = _without(CountedModel(then=script)), _guarded(CountedModel(then=script), home)
    wasted = without.micros - guarded.micros
    jobs = _REPORTED.micros // wasted
    bought_nothing = f"${wasted / 1_000_000:,.2f} of it bought nothing."
    at_scale = f"{bought_nothing} $47,000 are {jobs:,} such jobs: arithmetic, not played."
    return Played(without=without, guarded=guarded, at_scale=at_scale)


RETRIES: Final = Incident(
    name="retries",
    title="Retries around retries",
    reported="2025: a workflow of an agent was tried again after timeouts, $47,000 for API calls.",
    story=(
        "A job buys facts about four leads, at $0.50 each. The service does the fourth, and the answer "
        "is lost. The client tries three times; the queue delivers the job five times, each time from the top."
    ),
    acts="purchases",
    stops="What was asked and bought is on record; the purchase in doubt is looked up, not made again.",
    play=play,
)
