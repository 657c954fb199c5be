"""PLN-03: a plan with fallbacks in a world that changes: sold out, another flight, and a word that is bound to it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from holdfast import Permanent, State
from holdfast.errors import EffectFailed
from workflows.sites import Flow, Process, Site

Offer = dict[str, Any]


class Airline:
    """Somebody else's system. Each request for a booking is counted, whatever comes of it."""

    def __init__(self) -> None:
        self.seats = {"LH1": 1, "LH2": 1, "LH3": 1}
        self.prices = {"LH1": 100, "LH2": 150, "LH3": 200}
        self.asked: list[str] = []
        self.booked: list[tuple[str, int]] = []

    def book(self, flight: str, price: int) -> Offer:
        """Book a seat at that price, or refuse with a 409 that changes nothing."""
        self.asked.append(flight)
        if not self.seats[flight] or price != self.prices[flight]:
            request = httpx.Request("POST", "http://airline.test/bookings")
            gone = httpx.Response(409, request=request, text="sold out")
            raise httpx.HTTPStatusError(gone.text, request=request, response=gone)
        self.seats[flight] -= 1
        self.booked.append((flight, price))
        return {"booking": f"{flight} for {price}"}


def bound_to(offer: Offer) -> str:
    """Name the confirmation of this very offer: of another one, or of another price, it has another name."""
    return f"confirm {hashlib.sha256(json.dumps(offer, sort_keys=True).encode()).hexdigest()}"


def trip(process: Process, airline: Airline) -> Flow:
    """The plan: by price; ask; look whether what was confirmed is still so; book; else the next one."""

    def book(flight: str, price: int) -> Offer:
        try:
            return airline.book(flight, price)
        except httpx.HTTPStatusError as refused:
            if refused.response.status_code == httpx.codes.CONFLICT:
                raise Permanent(f"{flight} is gone") from refused  # a definite no: nothing was booked
            raise

    booking = process.tool(book)
    price_of = process.tool(lambda flight: airline.prices[flight], name="price_of", safety="read")

    async def trip(ctx: Any, flights: list[str]) -> Any:
        log: list[str] = []
        for flight in flights:
            price, asked = None, await price_of(flight=flight)
            while price != asked:  # what was confirmed at another price is not confirmed
                price = asked
                await ctx.wait_for(bound_to({"flight": flight, "price": price}))
                asked = await price_of(flight=flight)
            try:
                return [*log, (await booking(flight=flight, price=price))["booking"]]
            except EffectFailed as refused:
                log.append(refused.error_message)
        return log

    return process.workflow(trip)


async def driven(site: Site, airline: Airline) -> tuple[str, str]:
    """Go on in a new process, as after a deployment; its status, and what it waits for."""
    process = site.open()
    trip(process, airline)
    standing = await process.driven("trip-1")
    return str(standing.status), standing.waits_for


def waits_for(**offer: Any) -> tuple[str, str]:
    return "waiting", f"signal {bound_to(offer)!r}"


async def confirmed(site: Site, said: str, **offer: Any) -> None:
    await site.open().signal("trip-1", bound_to(offer), said, signal_id=said)


async def test_sold_out_leads_to_the_alternative_which_needs_a_word_of_its_own(site: Site) -> None:
    """PLN-03: the earlier word is void after the change; each booking is asked for once, over four processes."""
    airline, process = Airline(), site.open()
    await trip(process, airline).enqueue("trip-1", flights=["LH1", "LH2"])
    assert await driven(site, airline) == waits_for(flight="LH1", price=100)

    airline.seats["LH1"] = 0  # somebody else was faster
    await confirmed(site, "yes, LH1", flight="LH1", price=100)
    assert await driven(site, airline) == waits_for(flight="LH2", price=150)
    await confirmed(site, "yes, LH1, I said", flight="LH1", price=100)
    assert await driven(site, airline) == waits_for(flight="LH2", price=150)
    assert airline.booked == []

    await confirmed(site, "then LH2", flight="LH2", price=150)
    assert (await driven(site, airline))[0] == "succeeded"

    last = site.open()
    assert await trip(last, airline).run("trip-1", flights=["LH1", "LH2"]) == ["LH1 is gone", "LH2 for 150"]
    assert (airline.asked, airline.booked) == (["LH1", "LH2"], [("LH2", 150)])
    bookings = {
        effect.args["flight"]: effect.state for effect in await last.effects() if effect.tool == "book"
    }
    assert bookings == {"LH1": State.FAILED, "LH2": State.SUCCEEDED}


async def test_a_word_that_came_too_early_confirms_what_it_names_and_nothing_else(site: Site) -> None:
    """PLN-03: words are kept; the one for the later offer is heard when its turn comes, that for none never is."""
    airline, process = Airline(), site.open()
    airline.seats["LH1"] = 0
    await trip(process, airline).enqueue("trip-1", flights=["LH1", "LH2", "LH3"])
    await confirmed(site, "LH3 would do", flight="LH3", price=200)
    await confirmed(site, "LH2, if it were cheaper", flight="LH2", price=50)
    await confirmed(site, "LH1", flight="LH1", price=100)

    assert await driven(site, airline) == waits_for(flight="LH2", price=150)
    assert (airline.asked, airline.booked) == (["LH1"], [])


async def test_a_price_that_changed_after_the_word_is_asked_about_again(site: Site) -> None:
    """PLN-03: what was confirmed is not what would be booked now: nothing is booked before the new word."""
    airline, process = Airline(), site.open()
    await trip(process, airline).enqueue("trip-1", flights=["LH1"])
    assert await driven(site, airline) == waits_for(flight="LH1", price=100)

    airline.prices["LH1"] = 300
    await confirmed(site, "yes", flight="LH1", price=100)
    assert await driven(site, airline) == waits_for(flight="LH1", price=300)
    assert airline.asked == []

    await confirmed(site, "yes, though", flight="LH1", price=300)
    assert (await driven(site, airline))[0] == "succeeded"
    assert airline.booked == [("LH1", 300)]


@pytest.mark.parametrize("flights", [["LH1"], ["LH1", "LH2"]])
async def test_a_plan_whose_fallbacks_are_used_up_books_nothing_and_says_why(
    site: Site, flights: list[str]
) -> None:
    """PLN-03."""
    airline, process = Airline(), site.open()
    airline.seats.update(dict.fromkeys(flights, 0))
    await trip(process, airline).enqueue("trip-1", flights=flights)
    for flight in flights:
        await confirmed(site, flight, flight=flight, price=airline.prices[flight])

    assert (await driven(site, airline))[0] == "succeeded"
    assert json.loads((await site.open().execution("trip-1")).output) == [
        f"{flight} is gone" for flight in flights
    ]
    assert (airline.asked, airline.booked) == (flights, [])
