"""``holdfast demo`` with its real processes: what it promises, and what it leaves behind (nothing)."""

import asyncio
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from openai import OpenAI
from rich.console import Console

from holdfast import Ledger
from holdfast.demo.acts import SCRIPTS, Act
from holdfast.demo.evidence import Audit, Story, differences
from holdfast.demo.model import TOOL, request_text
from holdfast.demo.provider import Provider, ProviderRefused, ProviderUnreachable
from holdfast.demo.screen import Screen
from holdfast.demo.theatre import perform
from holdfast.errors import InvalidURL, MissingExtra

DEMO = [sys.executable, "-m", "holdfast", "demo"]
PATIENCE_S = 120
SOUND = Audit(ok=True, chains=2, entries=6)


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_until_gone(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=PATIENCE_S)[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """One evening for people and one for programs, at the same time."""
    home = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("demo")), "COLUMNS": "80"}
    with start(DEMO, env=home) as play, start([*DEMO, "--json"], env=home) as summary:
        shown, complaints = play.communicate(timeout=PATIENCE_S)
        printed, more_complaints = summary.communicate(timeout=PATIENCE_S)

    assert (play.returncode, complaints) == (0, "")
    assert (summary.returncode, more_complaints) == (0, "")
    return shown, json.loads(printed)


@pytest.fixture
def summary(runs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return runs[1]


@pytest.fixture
def shown(runs: tuple[str, dict[str, Any]]) -> str:
    return runs[0]


@contextmanager
def server(module: str, *arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", f"holdfast.demo.{module}", *arguments]
    with start(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.stdin.close()
        process.wait(timeout=PATIENCE_S)
        assert process.returncode == 0


@pytest.fixture
def payments(tmp_path: Path) -> Iterator[str]:
    with server("payments", "--database", str(tmp_path / "payments.db")) as url:
        yield url


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    with server("model") as url:
        yield url


def test_five_tries_charge_five_times_without_holdfast_and_once_with_it(
    summary: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    """IDE-29."""
    record_property("demo_seconds", summary["seconds"])

    assert summary["charges_created"] == {"without": 5, "with": 1, "ambiguous": 1, "approval": 1}
    assert [len(act["tries"]) for act in summary["acts"]] == [5, 5, 1, 1]
    assert summary["ok"] is True


def test_the_play_prints_the_same_numbers_as_plain_text(shown: str) -> None:
    """IDE-29."""
    assert re.findall(r"CHARGES_CREATED: (\d+)", shown) == ["5", "1", "1", "1"]
    assert "\x1b" not in shown
    assert "NOT AS PROMISED" not in shown


def test_the_numbers_are_those_of_the_providers_own_books(summary: dict[str, Any]) -> None:
    """IDE-29."""
    with closing(sqlite3.connect(Path(summary["directory"]) / "payments.db")) as books:
        found = dict(books.execute("SELECT order_id, count(*) FROM charges GROUP BY order_id"))

    assert found == {act["order_id"]: act["charges_created"] for act in summary["acts"]}


def test_each_killed_agent_dies_holding_a_committed_charge(summary: dict[str, Any]) -> None:
    without, guarded, *_ = summary["acts"]

    assert [tried["end"] for tried in without["tries"]] == ["killed"] * 4 + ["answered"]
    assert [tried["charges"] for tried in without["tries"]] == [1, 2, 3, 4, 5]
    assert [tried["end"] for tried in guarded["tries"]] == ["killed"] + ["answered"] * 4
    assert [tried["charges"] for tried in guarded["tries"]] == [1, 1, 1, 1, 1]


def test_the_model_never_uses_a_tool_call_id_twice_and_still_gets_one_effect(summary: dict[str, Any]) -> None:
    guarded = summary["acts"][1]

    call_ids = [call_id for tried in guarded["tries"] for call_id in tried["call_ids"]]

    assert len(set(call_ids)) == 5
    assert len(guarded["effects"]) == 1
    assert guarded["effects"][0]["attempts"] == 1


def test_a_hundred_is_approved_and_ten_thousand_is_not_charged(summary: dict[str, Any], shown: str) -> None:
    """HIT-05, I4: you approved 100, and the agent cannot charge 10,000."""
    act = summary["acts"][3]
    with closing(sqlite3.connect(Path(summary["directory"]) / "payments.db")) as books:
        charged = books.execute(
            "SELECT amount_cents FROM charges WHERE order_id = ?", (act["order_id"],)
        ).fetchall()

    assert charged == [(10_000,)]
    assert [effect["state"] for effect in act["effects"]] == ["denied", "succeeded"]
    assert "you say: yes, once (as agreed)" in shown
    assert "you say: no (the customer agreed to 100.00)" in shown
    assert "its status is denied" in act["tries"][0]["text"]


@pytest.mark.parametrize("act", [1, 2])
def test_doubt_is_on_record_before_its_evidence(summary: dict[str, Any], act: int) -> None:
    (effect,) = summary["acts"][act]["effects"]

    told = [(entry["event"], entry["state"]) for entry in effect["entries"]]

    assert told == [("claim", "pending"), ("doubt", "unknown"), ("resolve_done", "succeeded")]


def test_the_kept_ledger_tells_the_same_story_afterwards(summary: dict[str, Any]) -> None:
    async def look(url: str) -> tuple[dict[str, list[str]], bool]:
        async with Ledger(url) as ledger:
            effects = await ledger.effects()
            trails = {e.key: [entry.state.value for entry in await ledger.audit(e.key)] for e in effects}
            return trails, (await ledger.verify()).ok

    trails, is_sound = asyncio.run(look(summary["ledger_url"]))

    told = {e["key"]: [n["state"] for n in e["entries"]] for a in summary["acts"] for e in a["effects"]}
    assert trails == told
    assert is_sound


def test_no_process_is_left_behind(summary: dict[str, Any]) -> None:
    assert len(summary["pids"]) == 2 + 5 + 5 + 1 + 1
    assert [pid for pid in summary["pids"] if psutil.pid_exists(pid)] == []


def test_the_commands_to_look_further_name_the_ledger_and_the_effect(shown: str) -> None:
    told = shown.partition("Look further")[2].partition("Took ")[0]
    commands = [shlex.split(line) for line in told.splitlines() if "--url" in line]
    if commands[0][0] != "holdfast":  # it is not on the path: then its Python is named, and can be started
        assert Path(commands[0][0]).exists()
        commands = [["holdfast", *rest] for _, _, _, *rest in commands]

    (key,) = re.findall(r"effect +(v1:[0-9a-f]{64})\n", shown)
    (url,) = re.findall(r"ledger +(sqlite:\S+)\n", shown)
    assert commands == [
        ["holdfast", "effects", "--url", url],
        ["holdfast", "show", key, "--url", url],
        ["holdfast", "audit", "verify", "--url", url],
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_demo_that_is_stopped(number: signal.Signals, tmp_path: Path) -> None:
    with start(DEMO, env={**os.environ, "TMPDIR": str(tmp_path)}) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("  try 1"):
                break
        children = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(number)
        demo.communicate(timeout=PATIENCE_S)

    assert len(children) >= 2
    assert demo.returncode != 0
    # Interrupted, it collects its children before it ends; killed, they find out by themselves.
    alive = [child for child in children if child.is_running()] if number == signal.SIGINT else children
    assert (alive if number == signal.SIGINT else wait_until_gone(alive)) == []


def test_a_naive_retry_of_a_lost_answer_charges_twice(payments: str, model: str) -> None:
    provider = Provider(payments)
    provider.plan_faults([{"kind": "drop"}])
    options = ["--model", model, "--payments", payments, "--order", "order-1", "--workflow", "w"]
    command = [sys.executable, "-m", "holdfast.demo.agent", "--without", *options]

    with start(command, stdin=subprocess.PIPE) as agent:  # its stdin stays open: that is its parent's life
        assert agent.stdout is not None
        said = [json.loads(line)["event"] for line in agent.stdout]
        agent.wait(timeout=PATIENCE_S)

    assert said == ["tool_call", "answer_lost", "answer"]
    assert agent.returncode == 0
    assert provider.charges_created("order-1") == 2


def test_the_provider_charges_again_for_the_same_key_unless_told_to_honour_it(
    tmp_path: Path, payments: str
) -> None:
    with server("payments", "--database", str(tmp_path / "honest.db"), "--honour-keys") as honest:
        for provider in (Provider(payments), Provider(honest)):
            for _ in range(2):
                provider.charge("order-1", 100, "EUR", reference="r", idempotency_key="k")

        assert Provider(payments).charges_created("order-1") == 2
        assert Provider(honest).charges_created("order-1") == 1


def test_the_provider_finds_a_charge_whose_answer_was_lost(payments: str) -> None:
    provider = Provider(payments)
    provider.plan_faults([{"kind": "drop"}])

    with pytest.raises(ProviderUnreachable):
        provider.charge("order-1", 100, "EUR", reference="a b&c=ü")

    (charge,) = provider.find("a b&c=ü")
    assert (charge["status"], charge["order_id"], charge["amount_cents"]) == ("succeeded", "order-1", 100)


def test_the_provider_never_changes_or_forgets_a_charge(tmp_path: Path, payments: str) -> None:
    Provider(payments).charge("order-1", 100, "EUR", reference="r")

    with closing(sqlite3.connect(tmp_path / "payments.db")) as books:
        for statement in ("UPDATE charges SET amount_cents = 1", "DELETE FROM charges"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                books.execute(statement)


@pytest.mark.parametrize("amount", [0, -1, True, 1.5, "100", None])
def test_the_provider_refuses_what_is_no_amount_and_charges_nothing(payments: str, amount: Any) -> None:
    provider = Provider(payments)

    with pytest.raises(ProviderRefused):
        provider.charge("order-1", amount, "EUR", reference="r")

    assert provider.charges_created("order-1") == 0


def test_the_model_means_the_same_under_a_new_id_each_time(model: str) -> None:
    tools: list[Any] = [{"type": "function", "function": {"name": TOOL}}]
    messages: list[Any] = [{"role": "user", "content": request_text("order-1", 4990, "EUR")}]

    with OpenAI(base_url=f"{model}/v1", api_key="none", max_retries=0) as client:
        answers = [
            client.chat.completions.create(model="m", messages=messages, tools=tools).choices[0]
            for _ in range(2)
        ]

    calls = [call for answer in answers for call in answer.message.tool_calls or ()]
    spelt = [call.function.arguments for call in calls if call.type == "function"]
    assert [answer.finish_reason for answer in answers] == ["tool_calls", "tool_calls"]
    assert len({call.id for call in calls}) == 2
    assert spelt[0] != spelt[1]
    assert json.loads(spelt[0]) == json.loads(spelt[1])


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ('{"status": "succeeded", "charge_id": "ch_1", "order_id": "o"}', "has succeeded (ch_1)"),
        ('{"status": "unknown"}', "status is unknown"),
        ("{}", "gave no status"),
        ("oops", "was not JSON"),
    ],
)
def test_the_model_quotes_the_tools_status_and_invents_none(model: str, result: str, said: str) -> None:
    messages: list[Any] = [{"role": "tool", "tool_call_id": "call_1", "content": result}]

    with OpenAI(base_url=f"{model}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(model="m", messages=messages).choices[0]

    assert said in (answer.message.content or "")
    assert answer.finish_reason == "stop"


def test_the_model_refuses_a_conversation_that_is_not_in_its_script(model: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "Tell me a joke."}]

    with OpenAI(base_url=f"{model}/v1", api_key="none", max_retries=0) as client, ExitStack() as stack:
        stack.enter_context(pytest.raises(openai.BadRequestError, match="no answer to this"))
        client.chat.completions.create(model="m", messages=messages)


def act(name: str, charges: int) -> Act:
    script = next(script for script in SCRIPTS if script.name == name)
    return Act(script=script, order_id="o", workflow_id="w", tries=(), charges_created=charges)


def story(name: str, state: str) -> Story:
    return Story(act=name, key="v1:0", tool=TOOL, workflow_id="w", state=state, attempts=1, entries=())


@pytest.mark.parametrize(
    ("acts", "stories", "audit", "said"),
    [
        ([act("without", 5), act("with", 1)], [story("with", "succeeded")], SOUND, []),
        ([act("without", 4)], [], SOUND, ["promised 5 charge(s), the provider made 4"]),
        (
            [act("with", 2)],
            [story("with", "succeeded")],
            SOUND,
            ["promised 1 charge(s), the provider made 2"],
        ),
        ([act("with", 1)], [story("with", "unknown")], SOUND, ["the ledger has ['unknown']"]),
        ([act("ambiguous", 1)], [], SOUND, ["the ledger has []"]),
        ([], [], Audit(ok=False, chains=1, entries=3), ["does not verify"]),
    ],
)
def test_whatever_differs_from_the_promise_is_said(
    acts: list[Act], stories: list[Story], audit: Audit, said: list[str]
) -> None:
    found = differences(acts, stories, audit)

    assert len(found) == len(said)
    assert all(part in whole for part, whole in zip(said, found, strict=True))


def test_a_missing_sdk_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)

    with pytest.raises(MissingExtra, match=r"holdfast\[demo\]"):
        asyncio.run(perform(None, Screen(Console(quiet=True))))


@pytest.mark.parametrize("url", ["memory://", "sqlite:///:memory:"])
def test_a_ledger_that_processes_cannot_share_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidURL, match="processes of their own"):
        asyncio.run(perform(url, Screen(Console(quiet=True))))


def test_what_stands_before_the_subcommand_counts_too() -> None:
    holdfast = [sys.executable, "-m", "holdfast"]

    with (
        start([*holdfast, "--url", "memory://", "demo"]) as url,
        start([*holdfast, "--tenant", "t", "demo"]) as tenant,
    ):
        complaints = url.communicate(timeout=PATIENCE_S)[1], tenant.communicate(timeout=PATIENCE_S)[1]

    assert "processes of their own" in complaints[0]
    assert "tenant 't'" in complaints[1]
    assert (url.returncode, tenant.returncode) == (2, 2)
