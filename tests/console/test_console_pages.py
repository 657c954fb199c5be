"""The console's pages without a browser: what they say, what they cost, where their links lead."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import holdfast.console
from console.asgi import Client
from console.world import DANA, Shop
from holdfast import Ledger, SyncLedger, ToolCall
from holdfast._core.execution import Pause, StepState
from holdfast._core.states import State, WorkflowStatus
from holdfast._core.visible import is_hidden
from holdfast.console import Role, Visitor, console
from holdfast.console.look import LOOKS, NODES
from holdfast.console.registry import SITE
from holdfast.console.text import marked, named, segment, shown

STATIC = Path(holdfast.console.__file__).parent / "static"
LISTS = (
    "/",
    "/workflows",
    "/approvals",
    "/doubt",
    "/budgets",
    "/oversight",
    "/policy",
    "/audit",
    "/workers",
    "/settings",
    "/-/patterns",
)


def paths(the_shop: Shop) -> Iterator[str]:
    yield from LISTS
    yield from ("/workflows/ticket-7", "/workflows/order-2", "/workflows?q=tool:stripe.refund+order")
    yield from (
        f"/effects/{the_shop.done}",
        f"/effects/{the_shop.doubtful}",
        f"/audit?key={the_shop.done[3:12]}",
    )


async def test_every_page_is_there_and_has_a_json_twin_with_the_same_values(
    client: Client, the_shop: Shop
) -> None:
    """INT-15: a local read-only UI without external assets."""
    for path in paths(the_shop):
        drawn = await client.get(path)
        bare, _, query = path.partition("?")
        twin = await client.get(f"{'/overview' if bare == '/' else bare}.json?{query}")
        assert (drawn.status_code, twin.status_code) == (200, 200), path
        assert twin.headers["content-type"] == "application/json"
        json.loads(twin.content)
        outside = re.findall(r'(?:src|href|action)="(?!/|\?|#)[^"]*"', drawn.text)
        assert not outside, path


async def test_integers_are_exact_in_both(client: Client, the_shop: Shop) -> None:
    drawn = await client.get(f"/effects/{the_shop.done}")
    twin = await client.get(f"/effects/{the_shop.done}.json")

    assert "9007199254740993" in drawn.text
    assert twin.json()["effect"]["result"]["amount"] == 9007199254740993


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
async def test_an_async_ledger_on_every_store_is_shown_all_the_same(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    urls = {"memory": lambda: "memory://", "sqlite": lambda: f"sqlite:///{tmp_path / 'l.db'}"}
    url = urls[kind]() if kind in urls else request.getfixturevalue("ledger_url")
    async with Ledger(url) as ledger:

        @ledger.workflow
        async def support(ctx: Any, topic: str) -> str:
            return str(await ctx.step("draft", str.upper, topic))

        await support.run("ticket-7", topic="late")
        receipt = await ledger.run(ToolCall(workflow_id="w", tool="t", args={"n": 1}), lambda n: {"n": n})
        assert receipt == {"n": 1}
        (effect,) = await ledger.effects()
        client = Client(console(ledger, access=lambda _: DANA))
        for path in (*LISTS, "/workflows/ticket-7", "/workflows/w", f"/effects/{effect.key}"):
            assert (await client.get(path)).status_code == 200, path
        cancelled = await client.post("/stop", {"reason": "enough"})
        assert cancelled.status_code == 303
        assert [halt.reason for halt in await ledger.halts()] == ["dana@acme.example: enough"]


async def test_without_an_access_nobody_may_do_anything(the_shop: Shop) -> None:
    client = Client(console(the_shop.ledger))
    page = await client.get("/workflows/ticket-9")
    answer = await client.post("/workflows/ticket-9/cancel", {"reason": "x"})

    assert page.status_code == 200
    assert 'action="/workflows/ticket-9' not in page.text
    assert answer.status_code == 403
    assert the_shop.ledger.execution("ticket-9").status == "queued"


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (Role.VIEWER, "/workflows/ticket-9/cancel", 403),
        (Role.APPROVER, "/workflows/ticket-9/cancel", 403),
        (Role.OPERATOR, "/workflows/ticket-9/cancel", 303),
        (Role.ADMIN, "/workflows/ticket-9/cancel", 303),
        (Role.VIEWER, "/stop", 403),
        (Role.OPERATOR, "/stop", 303),
        (Role.OPERATOR, "/let-go", 403),
        (Role.ADMIN, "/let-go", 303),
        (Role.VIEWER, "/audit/verify", 303),
    ],
)
async def test_each_action_is_for_its_roles(the_shop: Shop, role: Role, path: str, status: int) -> None:
    """HIT-10: who may do what is held on the server."""
    client = Client(console(the_shop.ledger, access=lambda _: Visitor("x", frozenset({role}))))

    assert (await client.post(path, {"reason": "why"})).status_code == status


def test_every_action_but_looking_needs_a_role_that_may_act() -> None:
    may_look = [action.word for action in SITE.actions if Role.VIEWER in action.roles]

    assert may_look == ["simulate", "verify"]


async def test_who_is_nobody_sees_nothing_and_who_is_nothing_as_well(the_shop: Shop) -> None:
    nobody = Client(console(the_shop.ledger, access=lambda _: None))
    nothing = Client(console(the_shop.ledger, access=lambda _: Visitor("x", frozenset())))

    for path in paths(the_shop):
        for client, status in ((nobody, 401), (nothing, 403)):
            answer = await client.get(path)
            assert answer.status_code == status
            assert "ticket" not in answer.text.replace(path, "")
            assert "order-" not in answer.text.replace(path, "")
    assert (await nobody.get("/workflows.json")).status_code == 401
    assert (await nobody.get("/healthz")).status_code == 200


async def test_an_unchanged_page_has_the_same_tag_and_costs_no_bytes(client: Client) -> None:
    first = await client.get("/workflows")
    again = await client.get("/workflows", hx_ptag=first.headers["hx-ptag"])

    assert (again.status_code, again.content) == (304, b"")


async def test_links_forms_and_redirects_hold_under_a_mount_and_a_proxys_prefix(the_shop: Shop) -> None:
    inner = console(the_shop.ledger, access=lambda _: DANA)
    client = Client(Starlette(routes=[Mount("/holdfast", inner)]))
    page = await client.get("/holdfast/workflows/ticket-9", x_forwarded_prefix="/ops")
    done = await client.post(
        "/holdfast/workflows/ticket-9/cancel", {"reason": "x"}, x_forwarded_prefix="/ops/"
    )

    links = re.findall(r'(?:src|href|action|hx-get)="(/[^"]*)"', page.text)
    assert links
    assert all(link.startswith("/ops/holdfast/") for link in links)
    assert done.headers["location"] == "/ops/holdfast/workflows/ticket-9"
    assert (await client.get("/holdfast/static/console.js")).status_code == 200


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "https://evil.example", "/a b", "javascript:x", "/..//x", "/..", "\\x"]
)
async def test_a_prefix_that_is_no_path_is_not_believed(client: Client, prefix: str) -> None:
    page = await client.get("/", x_forwarded_prefix=prefix)

    assert 'src="/static/vendor/htmx.min.js"' in page.text


async def test_pages_of_fifty_follow_each_other_without_gap_or_repetition(ledger: SyncLedger) -> None:
    @ledger.workflow
    def many(ctx: Any) -> None: ...

    for number in range(120):
        many.enqueue(f"w-{number:03}")
    ledger.cancel("w-000", by="ops", reason="one that ends")
    client = Client(console(ledger))
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = await client.get(
            f"/workflows.json?after={after.replace('~', '%7E')}" if after else "/workflows.json"
        )
        found = answer.json()["workflows"]
        seen += [row["id"] for row in found["rows"]]
        after = found["after"]

    assert sorted(seen) == [f"w-{number:03}" for number in range(120)]
    assert seen == ["w-000", *sorted(seen[1:], reverse=True)]
    assert (found["counts"], found["found"]) == ({"cancelled": 1, "queued": 119}, 120)


async def test_counts_are_of_all_workflows_however_many_there_are(ledger: SyncLedger) -> None:
    @ledger.workflow
    def many(ctx: Any) -> None: ...

    for number in range(1_050):
        many.enqueue(f"w-{number:04}")
    ledger.cancel("w-0000", by="ops", reason="the first of all")
    client = Client(console(ledger))
    found = (await client.get("/workflows.json?q=status:queued")).json()["workflows"]
    page = (await client.get("/workflows?q=w-00")).text

    assert (found["found"], found["counts"]) == (1_049, {"cancelled": 1, "queued": 1_049})
    assert "50 of 100." in page


PLACES = (
    "x",
    "~",
    "2026-01-01~abc",
    "yesterday~abc",
    "2026-13-01T00:00:00.000000Z~a",
    "2026-01-01T00:00:00.000000Z~",
    "2026-01-01T00:00:00.000000Z~a%00b",
    "2026-01-01T00:00:00.000000Z~" + "a" * 3_000,
    "2026-01-01T00:00:00.000000%2B01:00~a",
    "1%27;DROP%20TABLE%20holdfast_audit--",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ["/workflows", "/approvals", "/approvals?state=denied"])
async def test_a_place_that_no_list_gave_is_refused(client: Client, path: str, place: str) -> None:
    """A list that begins somewhere else than one asked for would be read as all there is."""
    sign = "&" if "?" in path else "?"
    page = await client.get(f"{path}{sign}after={place}")
    bare, _, query = path.partition("?")
    twin = await client.get(f"{bare}.json?{query}&after={place}")

    assert (page.status_code, twin.status_code) == (400, 400)
    assert "names no place in the list" in page.text


async def test_a_place_that_a_list_gave_holds_whatever_the_name_of_what_is_there(ledger: SyncLedger) -> None:
    @ledger.workflow
    def many(ctx: Any) -> None: ...

    names = [f"{'~'.join('a~ü💳 &#?/.')}{number}" for number in range(60)]
    for name in names:
        many.enqueue(name)
    client = Client(console(ledger))
    first = await client.get("/workflows")
    [older] = re.findall(r'href="(/workflows\?[^"]*)" rel="next"', first.text)
    second = await client.get(html.unescape(older))

    assert second.status_code == 200
    assert "10 of 60." in second.text


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("status:failed", {"ticket-8"}),
        ("name:support", {"ticket-7", "odd/../name.json"}),
        ("paused:yes", {"ticket-10"}),
        ("tool:mail.send", {"order-3"}),
        ("actor:agent ticket", {"ticket-7", "ticket-8", "ticket-9", "ticket-10"}),
        ("order", {"order-2", "order-3"}),
        ("since:1h name:failing", {"ticket-8"}),
        ("'unclosed", set()),
    ],
)
async def test_a_search_finds_what_it_names(client: Client, line: str, ids: set[str]) -> None:
    answer = await client.get(f"/workflows.json?q={line.replace(' ', '+')}")

    assert {row["id"] for row in answer.json()["workflows"]["rows"]} == ids


@pytest.mark.parametrize("line", ["colour:red", "status:odd", "since:yesterday", "since:99999999999999d"])
async def test_a_search_that_cannot_be_read_says_so_and_is_no_error(client: Client, line: str) -> None:
    answer = await client.get(f"/workflows?q={line}")

    assert answer.status_code == 200
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "name", ["a", "a/b", ".", "..", "x.json", "%2F", "a b", "ü", "a?b#c", "v1:00", "a%25.json", "//x"]
)
def test_every_name_comes_back_from_its_place_in_a_path(name: str) -> None:
    from urllib.parse import unquote

    part = segment(name)
    assert named(unquote(part)) == name
    assert "/" not in unquote(part)
    assert not unquote(part).endswith(".json")
    assert unquote(part) not in {".", ".."}


def test_every_state_has_a_glyph_a_meaning_and_an_effects_a_place_in_the_picture() -> None:
    words = [*State, *WorkflowStatus, *StepState, *(pause for pause in Pause if pause)]

    assert not [word for word in words if word not in LOOKS]
    assert set(NODES) == {"new", *map(str, State)}


def test_what_a_reader_could_not_see_is_shown_by_number_everywhere() -> None:
    hidden = "\u202e\u200b\u2066\x1b\x00\ufeff\ue000\u3164\u00ad\u2028\ufe0f\u115f\U000e0041\ud800"

    assert all(map(is_hidden, hidden))
    assert not [char for char in str(marked(hidden)) + shown(hidden) if is_hidden(char)]
    assert str(marked("plain <b> ü 漢 🙂")) == "plain &lt;b&gt; ü 漢 🙂"


def test_the_vendored_files_are_those_that_their_sums_name() -> None:
    for directory in (STATIC / "vendor", Path(__file__).parent / "vendor"):
        lines = [
            line for line in (directory / "SHA256SUMS").read_text().splitlines() if not line.startswith("#")
        ]
        sums = {name: digest for digest, name in (line.split() for line in lines)}
        assert {path.name for path in directory.iterdir()} - {"SHA256SUMS"} == set(sums)
        for name, digest in sums.items():
            assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest, name
        assert any(name.startswith("LICENSE") for name in sums)


def test_no_template_has_what_the_policy_forbids() -> None:
    templates = Path(holdfast.console.__file__).parent / "templates"
    for path in templates.glob("*.html"):
        text = path.read_text()
        assert not re.search(
            r"\sstyle=|\shx-on|\son[a-z]+=|js:|\|\s*safe\b|http", text.replace("http-equiv", "")
        ), path
