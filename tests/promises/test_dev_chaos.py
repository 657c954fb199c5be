"""TST-15: development has timeouts, crashes and concurrent users too, in any program, by one flag."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from holdfast import Done, Effect, Ledger, Settings, State, SyncLedger, ToolCall
from holdfast._core.disturbance import COMMON, parse_chaos
from holdfast.cli.main import cli
from holdfast.errors import InvalidTool, OutcomeUnknown
from promises.ledgers import CALL, HASTY, PATIENCE_S, Calls, Place

pytestmark = pytest.mark.kinds("memory", "sync-memory", "sqlite", "sync-sqlite")


def chaos(text: str) -> Settings:
    return replace(HASTY, chaos=text)


def charge(n: int = 1, tool: str = "charge") -> ToolCall:
    return ToolCall(workflow_id="w", tool=tool, args={"n": n})


async def test_one_variable_reaches_a_program_that_makes_its_own_settings(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TST-15."""
    monkeypatch.setenv("HOLDFAST_CHAOS", "drop_before=1")
    calls = Calls()
    disturbed, spared = place.open(settings=HASTY), place.open(settings=chaos("0"))

    with pytest.raises(ConnectionResetError, match=r"by chaos \(drop_before\): the tool was not called"):
        await disturbed.run(charge(1), handler=disturbed.handler(calls), retry=False)
    assert await spared.run(charge(2), handler=spared.handler(calls)) == calls.result
    assert calls.made == [{"n": 2}]


FAULTS = [
    # what happens to one call of an unsafe tool: how often it runs, what its caller sees, what is on record
    ("latency=1:0.01", 1, None, "succeeded"),
    ("drip=1:0.01", 1, None, "succeeded"),
    ("duplicate=1", 1, None, "succeeded"),  # twice would be our own doing
    ("drop_before=1", 0, ConnectionResetError, "unknown"),  # as in production, nobody knows
    ("drop_after=1", 1, ConnectionResetError, "unknown"),
    ("reset_before=1", 0, ConnectionResetError, "unknown"),
    ("reset_after=1", 1, ConnectionResetError, "unknown"),
    ("half=1", 1, ConnectionResetError, "unknown"),
    ("hang_before=1:0.01", 0, TimeoutError, "unknown"),
    ("hang_after=1:0.01", 1, TimeoutError, "unknown"),
    ("down=1", 0, ConnectionRefusedError, "unknown"),
    ("429=1:7", 0, "429 7", "retryable"),  # a write that was refused: that is evidence
    ("503=1", 0, "503 None", "unknown"),
    ("503=1:2", 0, "503 2", "unknown"),
    ("500_before=1", 0, "500 None", "unknown"),
    ("500_after=1", 1, "500 None", "unknown"),
]


def seen(error: Exception) -> object:
    answer: Any = getattr(error, "response", None)
    if answer is None:
        return type(error)
    return f"{answer.status_code} {answer.headers.get('Retry-After')}"


@pytest.mark.parametrize(("text", "executions", "expected", "state"), FAULTS)
async def test_each_fault_does_to_a_tool_what_it_does_to_a_request(
    place: Place, text: str, executions: int, expected: Any, state: str
) -> None:
    """TST-15, IDE-16: the ledger takes it as it takes the real one."""
    calls = Calls()
    book = place.open(settings=chaos(text))
    error: Exception | None = None
    try:
        await book.run(CALL, handler=book.handler(calls.charge), retry=False)
    except Exception as caught:  # noqa: BLE001 - it is looked at below
        error = caught

    [effect] = await book.effects()
    assert calls.count == executions
    assert effect.state == state
    if isinstance(expected, type):
        assert isinstance(error, expected)
    else:
        assert expected == (None if error is None else seen(error))


async def test_a_date_says_when_to_come_back_and_is_never_too_early(place: Place) -> None:
    """TST-15, RET-05."""
    book = place.open(settings=chaos("429_date=1:20"))

    with pytest.raises(Exception, match="429_date") as caught:
        await book.run(CALL, handler=book.handler(Calls()), retry=False)

    [effect] = await book.effects()
    assert effect.state is State.RETRYABLE
    assert str(seen(caught.value)).endswith("GMT")


@pytest.mark.parametrize("fault", ["hang_before", "hang_after"])
async def test_a_tool_that_hangs_is_given_up_at_its_own_timeout(place: Place, fault: str) -> None:
    """TST-15, RET-18: development has timeouts too."""
    book = place.open(settings=chaos(f"{fault}=1"))

    with pytest.raises(OutcomeUnknown, match=r"longer than its timeout of 0\.05 s"):
        await book.run(CALL, handler=book.handler(Calls().charge), timeout=0.05)

    [effect] = await book.effects()
    assert effect.state is State.UNKNOWN


async def test_a_duplicate_delivery_calls_an_idempotent_tool_twice_with_one_key(place: Place) -> None:
    """TST-15, IDE-17: whoever declares it so has to bear it."""
    keys: list[str] = []
    book = place.open(settings=chaos("duplicate=1"))

    def send(amount: int, currency: str, effect: Effect) -> int:
        keys.append(effect.idem_key)
        if len(keys) > 1:
            raise ValueError("the second is nobody's concern")
        return amount

    async def send_async(amount: int, currency: str, effect: Effect) -> int:
        return send(amount, currency, effect)

    answer = await book.run(CALL, handler=send if book.is_sync else send_async, safety="idempotent")

    assert answer == 100
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_an_answer_lost_by_chaos_is_found_by_the_tools_own_reconciler(place: Place) -> None:
    """TST-15, IDE-15: that is what it is for."""
    calls = Calls()
    book = place.open(settings=chaos("drop_after=1"))

    answer = await book.run(CALL, handler=book.handler(calls), reconcile=lambda effect: Done({"id": "found"}))

    assert answer == {"id": "found"}
    assert calls.count == 1


class Forms:
    """One tool, written in every form that a handler may have."""

    def __init__(self) -> None:
        self.ended = 0

    def plain(self, n: int, effect: Effect) -> list[Any]:
        self.ended += 1
        return [n, effect.attempt]

    def items(self, n: int, effect: Effect) -> Iterator[int]:
        yield n
        yield effect.attempt
        self.ended += 1

    async def coroutine(self, n: int, effect: Effect) -> list[Any]:
        return self.plain(n, effect)

    async def stream(self, n: int, effect: Effect) -> AsyncIterator[int]:
        for item in self.items(n, effect):
            yield item

    def wrapped(self, n: int, effect: Effect) -> Awaitable[list[Any]]:
        return self.coroutine(n, effect)

    def wrapped_stream(self, n: int, effect: Effect) -> AsyncIterator[int]:
        return self.stream(n, effect)


@pytest.mark.kinds("memory")
@pytest.mark.parametrize("form", ["plain", "items", "coroutine", "stream", "wrapped", "wrapped_stream"])
async def test_handlers_of_every_form_are_disturbed_and_called_to_their_end(place: Place, form: str) -> None:
    """TST-15: arguments, the injected effect and results pass as they do without."""
    forms = Forms()
    handler: Callable[..., Any] = getattr(forms, form)
    late, lost = place.open(settings=chaos("latency=1:0.001")), place.open(settings=chaos("drop_after=1"))

    assert await late.run(charge(7), handler=handler) == [7, 1]
    with pytest.raises(ConnectionResetError):
        await lost.run(charge(8), handler=handler, retry=False)
    assert forms.ended == 2


@pytest.mark.kinds("sync-memory")
@pytest.mark.parametrize("form", ["plain", "items"])
async def test_blocking_handlers_of_every_form_are_disturbed(place: Place, form: str) -> None:
    """TST-15."""
    forms = Forms()
    late, lost = place.open(settings=chaos("drip=1:0.001")), place.open(settings=chaos("drop_after=1"))

    assert await late.run(charge(7), handler=getattr(forms, form)) == [7, 1]
    with pytest.raises(ConnectionResetError):
        await lost.run(charge(8), handler=getattr(forms, form), retry=False)
    assert forms.ended == 2


@pytest.mark.kinds("sync-memory")
async def test_what_a_sync_ledger_refuses_it_refuses_under_chaos_as_well(place: Place) -> None:
    book = place.open(settings=chaos("drop_after=1"))

    with pytest.raises(InvalidTool, match="returned a coroutine to SyncLedger"):
        await book.run(charge(), handler=Forms().wrapped, retry=False)


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_read_is_refused_as_a_read(place: Place) -> None:
    """TST-15, RET-10."""
    book = place.open(settings=chaos("429=1:0"))

    with pytest.raises(Exception, match="429") as caught:
        await book.run(charge(), handler=book.handler(Calls()), safety="read", retry=False)

    assert caught.value.request.method == "GET"


async def story(place: Place, text: str, calls: int = 40) -> list[str]:
    """What happened to one call after another."""
    book = place.open(settings=chaos(text))
    told = []
    for n in range(calls):
        try:
            call = ToolCall(workflow_id=text, tool=f"t{n}", args={"n": n})
            await book.run(call, handler=book.handler(Calls()), retry=False)
            told.append("done")
        except Exception as error:  # noqa: BLE001 - it is the story
            told.append(str(error).partition(":")[0])
    return told


@pytest.mark.kinds("memory", "sync-memory")
async def test_the_seed_that_is_logged_repeats_the_story(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """TST-15."""
    first = await story(place, "drop=0.3,503=0.2*2")
    [warning] = [r.getMessage() for r in caplog.records if r.getMessage().startswith("chaos is on")]
    seed = warning.partition("seed=")[2].partition(";")[0]
    again = await story(place, f"drop=0.3,503=0.2*2,seed={seed}")
    other = await story(place, f"drop=0.3,503=0.2*2,seed={int(seed) + 1}")

    assert again == first
    assert other != first
    assert {"done"} < set(first)


@pytest.mark.kinds("memory", "sync-memory")
async def test_it_says_once_that_it_is_on_and_what_it_does_but_no_values(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """TST-15, I8."""
    caplog.set_level(logging.INFO, "holdfast")
    book = place.open(settings=chaos("latency=1:0"))
    for secret in ("hunter2", "hunter3"):
        call = ToolCall(workflow_id="w", tool="log_in", args={"password": secret})
        await book.run(call, handler=book.handler(Calls()))

    told = [(r.levelname, r.getMessage()) for r in caplog.records if "chaos" in r.getMessage()]
    assert [level for level, _ in told] == ["WARNING", "INFO", "INFO"]
    assert told[1][1] == "chaos: latency:0 befalls a call of 'log_in'"
    assert "hunter" not in caplog.text


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_system_that_is_down_is_down_for_all_its_tools_and_for_no_others(place: Place) -> None:
    """TST-15."""
    book = place.open(settings=chaos("down=0.1:600,seed=1"))
    ends: dict[str, list[bool]] = {"mail": [], "cards": []}
    for n in range(40):
        for of, told in ends.items():
            try:
                call = ToolCall(workflow_id="w", tool=f"{of}-{n % 2}", args={"n": n})
                await book.run(call, handler=book.handler(Calls()), dependency=of, retry=False)
                told.append(True)
            except Exception:  # noqa: BLE001 - refused, or not even tried
                told.append(False)

    firsts = {of: told.index(False) for of, told in ends.items()}
    assert firsts["mail"] != firsts["cards"]
    assert all(not any(told[firsts[of] :]) for of, told in ends.items())


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
async def test_concurrent_users_make_the_same_call_and_it_happens_once(place: Place, safety: str) -> None:
    """TST-15, IDE-18: development has concurrent users too."""
    calls, asked = Calls(), list[str]()
    book = place.open(settings=chaos("concurrent=1"))

    def ask(call: ToolCall) -> bool:
        asked.append(call.tool)
        return False

    answer = await book.run(
        CALL, handler=book.handler(calls.charge), safety=safety, requires_approval=ask, wait=PATIENCE_S
    )

    assert answer == calls.result
    assert len(asked) == 2
    assert calls.count == 1


@pytest.mark.kinds("memory", "sync-memory")
async def test_what_the_other_user_meets_is_not_the_callers_concern(place: Place) -> None:
    """TST-15: of two callers of a failing tool, this one gets its own answer only."""
    book = place.open(settings=chaos("concurrent=1"))

    def refuse(n: int) -> None:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        await book.run(charge(), handler=book.handler(refuse), retry=False)
    assert (await book.verify()).ok


PROGRAM = """
import os
from holdfast import Settings, SyncLedger, ToolCall

def charge(n):
    with open("world", "a") as world:
        world.write("charged\\n")
    return {"n": n}

with SyncLedger("sqlite:///ledger.db", settings=Settings(lease=0.2, renew_every=0.1)) as ledger:
    call = ToolCall(workflow_id="w", tool="charge", args={"n": 1})
    print(ledger.run(call, charge))
"""


@pytest.mark.kinds("memory")
@pytest.mark.parametrize(("fault", "charges"), [("crash_before", 0), ("crash_after", 1)])
def test_a_crash_ends_the_process_like_kill_9_and_leaves_doubt(
    tmp_path: Path, fault: str, charges: int
) -> None:
    """TST-15, I1, I2: any program, unchanged; what it did before it died is not done again."""

    def program(**environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            cwd=tmp_path,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    died, again = program(HOLDFAST_CHAOS=f"{fault}=1"), program()

    world = tmp_path / "world"
    assert (died.returncode, died.stdout) == (137, "")
    assert f"chaos: {fault} befalls a call of 'charge'" in died.stderr
    assert "OutcomeUnknown" in again.stderr
    assert (len(world.read_text().splitlines()) if world.exists() else 0) == charges


async def test_webhooks_come_late_twice_and_out_of_order_and_move_nothing_backwards(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """TST-15, IDE-27: each signal goes astray; every effect is settled once, by the first word that counts."""
    caplog.set_level(logging.INFO)
    book = place.open(settings=chaos("drop_after=1,webhooks=1:0.05,seed=7"))
    calls = Calls()
    for n in range(12):
        with pytest.raises(ConnectionResetError):
            await book.run(charge(n), handler=book.handler(calls), retry=False, dependency=False)

    for effect in await book.effects():
        told = await book.observe(effect.key, Done({"id": "ch_1"}), signal_id=f"evt_{effect.key}")
        assert (told.is_new, told.effect.state) == (True, State.SUCCEEDED)

    stories = [await book.audit(effect.key) for effect in await book.effects()]
    assert [sum(e.state is State.SUCCEEDED for e in story) for story in stories] == [1] * 12
    assert calls.count == 12
    assert all(
        said in caplog.text
        for said in ("s late;", "the same signal is delivered again", "an older signal is delivered again")
    )


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_signals_first_coming_is_its_own_whatever_comes_again_beside_it(place: Place) -> None:
    """TST-15, IDE-27: an application that acts on what is new acts on each, once."""
    book = place.open(settings=chaos("webhooks=0.9:0.01,seed=3"))

    told = await asyncio.gather(*(book.observe(f"pi_{n}", Done(n), signal_id=f"evt_{n}") for n in range(60)))

    assert [each.is_new for each in told] == [True] * 60


@pytest.mark.kinds("memory")
def test_a_bare_number_is_shared_by_the_common_faults_and_crashes_nobody() -> None:
    """TST-15."""
    read = parse_chaos("0.14, crash=0.02, concurrent=0.5, webhooks=0.3:2, seed=7")
    kinds = {str(chance.fault.kind) for chance in read.chances}

    assert sum(chance.probability for chance in read.chances) == pytest.approx(0.16)
    assert {name for name in COMMON if not {name, f"{name}_before"} & kinds} == set()
    assert not any("crash" in chance.fault.kind for chance in parse_chaos("1").chances)
    assert (read.concurrent, read.webhooks, read.latest_s, read.seed) == (0.5, 0.3, 2, 7)
    assert parse_chaos("0.1").webhooks == 0.1


@pytest.mark.kinds("memory")
@pytest.mark.parametrize("text", ["", "0", "0.0", "drop=0", "seed=7", "concurrent=0", "webhooks=0"])
def test_without_a_chance_it_is_off(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with SyncLedger("sqlite:///:memory:", settings=Settings(chaos=text)) as ledger:
        ledger.effects()

    assert not parse_chaos(text).is_on
    own = [record for record in caplog.records if record.name != "holdfast.heartbeat"]  # of others' ledgers
    assert not [record for record in own if "chaos" in record.getMessage()]


@pytest.mark.kinds("memory")
@pytest.mark.parametrize(
    "text", ["on", "typo=0.1", "drop=x", "0.6,drop=0.6", "1.5", "concurrent=2", "webhooks=2", "seed=x"]
)
def test_a_flag_that_cannot_be_read_is_refused_by_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """INT-13: a typing error must not pass for an undisturbed program."""
    with pytest.raises(InvalidTool, match=r"Settings\.chaos"):
        Settings(chaos=text)
    monkeypatch.setenv("HOLDFAST_CHAOS", text)
    with pytest.raises(InvalidTool, match=r"\$HOLDFAST_CHAOS"):
        SyncLedger("memory://", settings=Settings())
    with pytest.raises(InvalidTool, match=r"\$HOLDFAST_CHAOS"):
        Ledger("memory://")
    with pytest.raises(InvalidTool, match="is float"):
        Settings(chaos=0.1)  # type: ignore[arg-type]


@pytest.mark.kinds("memory")
def test_the_doctor_warns_while_it_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_CHAOS", "0.1")

    told = CliRunner().invoke(cli, ["doctor", "--url", "memory://"]).stdout

    assert "setting chaos\tok\t0.1 ($HOLDFAST_CHAOS)" in told
    assert "chaos\twarn\ttools fail on purpose" in told
