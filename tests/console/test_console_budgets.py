"""The Budgets page: who is near the cap, what it cost, and how much of that was wasted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.asgi import Client
from console.till import Till, cap
from holdfast import Budget, SyncLedger, ToolCall
from holdfast._core.budget import Level
from holdfast._core.states import Event
from holdfast.console import console
from holdfast.console.views.burn import drawn, undrawn
from holdfast.errors import BudgetExceeded

HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SyncLedger]:
    """A ledger on either database."""
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'book.db'}" if is_file else request.getfixturevalue("ledger_url")
    with SyncLedger(url) as ledger:
        yield ledger


def seen(ledger: Any, now: datetime | None = None) -> Client:
    return Client(console(ledger) if now is None else console(ledger, now=lambda: now))


async def budgets_of(client: Client, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/budgets.json{query}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_the_fullest_budgets_come_first_with_what_is_spent_and_held_of_them(book: SyncLedger) -> None:
    """COS-13: everybody's, the tenant's and an agent's budgets are on one page."""
    till = Till(book)
    everybody = cap("global", 9_000_000, 250_000, owner="")
    till.spend(1, 1_250_000, cap("agent:desk", 2_000_000, 1_250_000))
    till.claim(2, cap("agent:desk", 2_000_000, 500_000), everybody, currency="usd", money=500_000)
    till.claim(3, cap("tenant", 10, 3, unit="tool_calls", per="hour"))
    client = seen(book)
    found = (await budgets_of(client))["budgets"]
    page = (await client.get("/budgets")).text.split("<main")[1]

    told = [(row["account"], row["spent"], row["held"], row["filled"]) for row in found["rows"]]
    assert told == [
        ("agent:desk", 1_250_000, 500_000, 875),
        ("tenant", 0, 3, 300),
        ("global", 0, 250_000, 27),
    ]
    assert (found["found"], found["near"], found["after"]) == (3, 1, None)
    desk = found["rows"][0]["bar"]
    assert (desk["spent"], desk["held"], desk["marks"]) == (62.5, 25.0, [50.0, 80.0, 100.0])
    assert "87.5 %" in page
    assert "near its cap" in page
    assert "1.25 USD" in page
    assert "all tenants" in page
    assert "each hour" in page


async def test_calls_of_tools_fill_the_budgets_that_a_ledger_was_given(tmp_path: Path) -> None:
    """COS-02"""
    budgets = {"agent": Budget(tool_calls=2), "tenant": Budget(tool_calls=4, per="day", concurrency=3)}
    with SyncLedger(f"sqlite:///{tmp_path / 'book.db'}", budgets=budgets, actor="desk") as ledger:
        for number in range(3):
            call = ToolCall(workflow_id="order-1", tool="mail.send", args={"number": number})
            try:
                ledger.run(call, lambda **_: None)
            except BudgetExceeded:
                assert number == 2
        found = (await budgets_of(seen(ledger)))["budgets"]
        page = (await seen(ledger).get("/budgets")).text

    told = [(row["account"], row["unit"], row["spent"], row["fullness"]) for row in found["rows"]]
    assert told == [
        ("agent:desk", "tool_calls", 2, "used up"),
        ("tenant", "tool_calls", 2, "half used"),
        ("tenant", "concurrency", 0, "has room"),
    ]
    assert "2 attempts that cost no money" in page.replace('<b class="n">', "").replace("</b>", "")


async def test_budgets_are_chosen_by_the_start_of_their_accounts_and_paged_exactly(book: SyncLedger) -> None:
    till = Till(book)
    flows = [cap(f"workflow:order-{n}", 1000, 10 * n) for n in range(60)]
    till.claim(1, *flows, cap("agent:50%", 10, 9), cap("agent:~odd~name", 10, 9))
    client = seen(book)
    first = (await budgets_of(client, "?prefix=workflow:"))["budgets"]
    rest = (await budgets_of(client, f"?prefix=workflow:&after={first['after']}"))["budgets"]
    page = (await client.get("/budgets?prefix=workflow:")).text

    names = [row["account"] for row in first["rows"] + rest["rows"]]
    assert names == [f"workflow:order-{n}" for n in reversed(range(60))]
    assert (len(first["rows"]), first["found"], rest["after"]) == (50, 60, None)
    assert "50 of 60" in page
    odd = (await budgets_of(client, "?prefix=agent:~odd"))["budgets"]
    assert [row["account"] for row in odd["rows"]] == ["agent:~odd~name"]
    assert (await client.get("/budgets?prefix=nobody")).text.count("No account begins like that.") == 1


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=1~mine~usd~~tenant",
        "after=own~usd~~tenant",
        "after=-1~own~usd~~a",
        "after=99999999999999999~own~usd~~a",
        "after=1~own~usd~~a%00",
        "of=tenant",
        "of=1~own~usd~~tenant",
        "prefix=%00",
    ],
)
async def test_an_address_that_no_list_gave_is_refused(book: SyncLedger, query: str) -> None:
    assert (await seen(book).get(f"/budgets?{query}")).status_code == 400


async def test_a_budget_that_is_not_there_is_not_found(book: SyncLedger) -> None:
    Till(book).spend(1, 5, cap("tenant", 10, 5))
    client = seen(book)

    assert (await client.get("/budgets?of=own~usd~~tenant")).status_code == 200
    for other in ("own~eur~~tenant", "own~usd~day~tenant", "shared~usd~~tenant", "own~usd~~agent:x"):
        assert (await client.get(f"/budgets?of={other}")).status_code == 404


async def test_more_spent_than_the_cap_is_shown_as_it_is(book: SyncLedger) -> None:
    till = Till(book)
    head = till.claim(1, cap("tenant", 100, 100), currency="usd", money=100)
    till.end(head, usd=150)
    found = (await budgets_of(seen(book)))["budgets"]["rows"][0]

    assert (found["spent"], found["left"], found["filled"], found["fullness"]) == (150, -50, 1500, "used up")
    assert (found["bar"]["spent"], found["bar"]["marks"]) == (100.0, [33.33, 53.33, 66.67])


async def test_what_was_wasted_is_told_in_words_and_as_a_part_of_the_whole(book: SyncLedger) -> None:
    """COS-16: each attempt counts, also those that bought nothing."""
    till = Till(book)
    till.spend(1, 5_000_000)
    till.end(till.claim(2, currency="usd", money=1_000_000), Event.FAIL, usd=1_000_000)
    first = till.end(till.claim(3, currency="usd", money=500_000), Event.RELEASE, usd=500_000)
    till.end(till.again(first, currency="usd", money=500_000), usd=500_000)
    till.end(till.claim(4, currency="usd", money=3_000_000), Event.DOUBT)
    till.claim(5, currency="usd", money=250_000)
    client = seen(book)
    [total] = (await budgets_of(client))["costs"]["totals"]
    page = (await client.get("/budgets")).text

    assert (total["money"], total["held"], total["attempts"]) == (10_000_000, 250_000, 6)
    assert (total["failed"], total["superseded"], total["assumed"]) == (1_000_000, 500_000, 3_000_000)
    assert (total["wasted"], total["wasted_share"], total["bought"]) == (4_500_000, 45.0, 55.0)
    for says in (
        "10.00 USD</b> in 6 attempts",
        "at most 0.25 USD more",
        'Wasted: <b class="n">4.50 USD</b> of it (45.0 %)',
        "failed 1.00 USD",
        "tried again 0.50 USD",
        "nobody knows what it bought 3.00 USD",
    ):
        assert says in page


@pytest.mark.parametrize("seed", range(4))
async def test_the_parts_of_every_table_and_chart_add_up_to_the_total(book: SyncLedger, seed: int) -> None:
    """COS-12: whichever way costs are told, and however many names are put together."""
    chance, now = random.Random(seed), datetime.now(UTC)
    till, paid = Till(book), list[tuple[str, int, datetime]]()
    for number in range(60):
        till.now = now - timedelta(hours=chance.uniform(0, 300))
        currency = chance.choice(["usd", "usd", "eur", ""])
        told: dict[str, Any] = {
            "currency": currency,
            "money": chance.randrange(10**9) if currency else 0,
            "tokens": chance.randrange(10**6),
            "model": chance.choice(["", "m1", "m2", *(f"odd/{n}" for n in range(40))]),
            "actor": f"agent-{chance.randrange(4)}",
            "workflow": f"order-{number}",
        }
        tool = f"tool-{chance.randrange(30)}"
        head = till.claim(number, tool=tool, **told)
        event = chance.choice([Event.SUCCEED, Event.FAIL, Event.RELEASE, Event.DOUBT, None])
        if event is None:
            continue
        cost = told["money"] if event is Event.DOUBT else chance.randint(0, told["money"])
        head = till.end(head, event, **({currency: cost} if currency else {}))
        paid.append((currency, cost, till.now))
        if event is Event.RELEASE and chance.random() < 0.5:
            del told["workflow"]
            till.again(head, tool=tool, **told)
    found = (await budgets_of(seen(book, now), f"?within=7d&over={chance.choice(['tool', 'model'])}"))[
        "costs"
    ]

    totals = {one["currency"]: one for one in found["totals"]}
    since = datetime.fromisoformat(
        found["since"]
    )  # where the first step of its charts begins, at most a step before that time
    assert timedelta(days=7) <= now - since < timedelta(days=8)
    for code in ("usd", "eur", ""):
        assert totals[code]["money"] == sum(cost for each, cost, at in paid if each == code and at >= since)
    for table in found["tables"]:
        for currency, total in totals.items():
            lines = [line for line in table["lines"] if line["currency"] == currency]
            for part in ("money", "wasted", "held", "attempts", "tokens"):
                assert sum(line[part] for line in lines) == total[part], (table["kind"], part)
            assert sum(not line["is_rest"] for line in lines) <= 20
    assert [table["kind"] for table in found["tables"]] == [
        "tool",
        "model",
        "actor",
        "workflow_id",
        "outcome",
    ]
    for chart in found["charts"]:
        drawn = sum(sum(series["money"]) for series in chart["series"])
        assert drawn == totals[chart["currency"]]["money"]
        assert {len(series["money"]) for series in chart["series"]} == {len(chart["at"])}
    for total in totals.values():
        assert total["wasted"] == total["failed"] + total["superseded"] + total["assumed"] <= total["money"]


async def test_costs_are_told_of_the_time_that_is_chosen(book: SyncLedger) -> None:
    now = datetime.now(UTC)
    till = Till(book)
    for number, age in enumerate((timedelta(0), HOUR * 5, HOUR * 30, HOUR * 200)):
        till.now = now - age
        till.spend(number, 10**number)
    client = seen(book, now)

    told: dict[str, Any] = {}
    for within in ("1h", "1d", "7d", "30d", "", "for ever"):
        [total] = (await budgets_of(client, f"?within={within}"))["costs"]["totals"]
        told[within] = total["money"]
    assert told == {"1h": 1, "1d": 11, "7d": 111, "30d": 1111, "": 111, "for ever": 111}


async def test_costs_are_added_up_once_a_minute_and_budgets_at_every_look(book: SyncLedger) -> None:
    at = [datetime.now(UTC).replace(second=1)]
    client = Client(console(book, now=lambda: at[0]))
    till = Till(book)
    till.spend(1, 100, cap("tenant", 1000, 100))
    before = await budgets_of(client)
    till.spend(2, 50, cap("tenant", 1000, 100))
    same = await budgets_of(client)
    at[0] += timedelta(minutes=1)
    after = await budgets_of(client)

    assert [one["budgets"]["rows"][0]["spent"] for one in (before, same, after)] == [100, 150, 150]
    assert [one["costs"]["totals"][0]["money"] for one in (before, same, after)] == [100, 100, 150]


async def test_tenants_see_their_own_budgets_and_costs_and_what_all_share(book: SyncLedger) -> None:
    till = Till(book)
    till.spend(1, 100, cap("tenant", 1000, 100), cap("global", 1000, 100, owner=""))
    found = await budgets_of(seen(book.scoped(tenant="other")))

    assert [row["account"] for row in found["budgets"]["rows"]] == ["global"]
    assert (found["costs"]["totals"], found["costs"]["tables"]) == ([], [])


async def test_an_empty_page_says_how_a_budget_is_made(book: SyncLedger) -> None:
    page = (await seen(book).get("/budgets")).text

    assert "Budget(tool_calls=100" in page
    assert "Nothing was spent since" in page


async def test_names_of_strangers_are_shown_and_not_obeyed(book: SyncLedger) -> None:
    """What models and strangers call things is text."""
    evil = '<img src=x onerror=alert(1)>"\u202e'
    Till(book).spend(1, 5, cap(f"scope:{evil}", 10, 5), tool=evil, model=evil, actor=evil, workflow=evil)
    page = (await seen(book).get("/budgets")).text

    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x" in page


async def test_the_overview_leads_to_budgets_that_are_nearly_used_up(book: SyncLedger) -> None:
    """A budget that is filled to four fifths needs a person before it is used up."""
    till = Till(book)
    client = seen(book)
    till.claim(1, cap("agent:a", 10, 7), cap("agent:seats", 1, 1, unit="concurrency", returns=True))
    assert "no budget near its cap" in (await client.get("/")).text
    till.claim(2, cap("agent:a", 10, 1), *(cap(f"agent:b{n}", 10, 9) for n in range(6)))
    page = (await client.get("/")).text.split("<main")[1]
    found = (await client.get("/overview.json")).json()["overview"]

    assert '<a href="/budgets">' in page
    assert [row["account"] for row in found["near_caps"]] == [f"agent:b{n}" for n in range(5)]
    assert found["near_cap_count"] == 7
    assert "no budget near its cap" not in page


async def test_at_this_rate_the_cap_is_reached_in_so_many_minutes(book: SyncLedger) -> None:
    """COS-08: how fast a budget is used up is told before it is used up."""
    till = Till(book)
    for number in range(3):
        till.spend(number, 100, cap("agent:desk", 1000, 100))
    minute = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    use = (await budgets_of(seen(book, minute), "?of=own~usd~~agent:desk"))["use"]

    assert use["spent"][0] == 0
    assert use["spent"][-1] == 300
    assert use["lately"] == 300
    left_s = 700 * 3600 / 300
    assert use["says"] == "At this rate the cap is reached in 2 h 20 min."
    reached = datetime.fromisoformat(use["reaches_at"])
    assert reached == minute + timedelta(seconds=left_s)
    later = (await budgets_of(seen(book, minute + 2 * HOUR), "?of=own~usd~~agent:desk"))["use"]
    assert later["says"] == "Nothing was spent of it in the last 1 h 0 min."
    assert sum(at["spent"][-1] for at in (use, later)) == 600


NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("per", "level", "recent", "says"),
    [
        ("", (1000, 400, 0), 100, "At this rate the cap is reached in 1 h 0 min."),
        ("", (1000, 400, 500), 100, "At this rate the cap is reached in 10 min 0 s."),
        ("", (1000, 400, 600), 100, "It is used up: nothing more is admitted until somebody raises the cap."),
        (
            "hour",
            (100, 100, 0),
            10,
            "It is used up: nothing more is admitted until its window ends, or somebody raises the cap.",
        ),
        ("hour", (1000, 400, 0), 100, "At this rate its window ends first, at 90 % of the cap."),
        ("hour", (1000, 400, 0), 121, "At this rate the cap is reached in 49 min 35 s."),
        ("day", (1000, 400, 0), 0, "Nothing was spent of it in the last 10 min 0 s."),
        ("", (2**53, 1, 0), 1, "At this rate the cap is reached in more than a year."),
        ("minute", (10, 5, 0), 5, "It begins anew each minute."),
    ],
)
def test_what_a_rate_comes_to_is_said_exactly(
    per: Any, level: tuple[int, int, int], recent: int, says: str
) -> None:
    cap, spent, held = level
    begun = {"hour": NOON - timedelta(minutes=10), "day": NOON - HOUR}.get(
        per, datetime(1970, 1, 1, tzinfo=UTC)
    )
    of = Level(
        owner="default",
        account="tenant",
        unit="usd",
        per=per,
        cap=cap,
        raised=0,
        spent=spent,
        held=held,
        window_start=begun,
    )
    if per == "minute":
        assert undrawn(of).says == says
        return
    wide = timedelta(minutes=10)
    moments = (NOON - wide, NOON - wide, NOON)
    assert drawn(of, [], recent, moments, timedelta(minutes=1)).says == says
