"""Turns of agents as a watch sees them: some do their work, and some are in a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from holdfast._core.loop import LoopRules, LoopSign, Observed, ObservedTurn
from holdfast._core.loop_signs import Watch
from holdfast._core.pattern import Poll, Spawn
from holdfast._core.states import Safety

READ: Final[dict[str, Any]] = {"safety": Safety.READ}
POLL: Final[dict[str, Any]] = {"safety": Safety.READ, "pattern": Poll()}


def read(tool: str, args: object = "", answer: object = "") -> Observed:
    """A look at something."""
    return Observed(tool=tool, args=str(args), answer=str(answer), **READ)


def write(tool: str, args: object = "", answer: object = "ok") -> Observed:
    """A change of something."""
    return Observed(tool=tool, args=str(args), answer=str(answer))


def fails(tool: str, args: object = "", error: object = "503") -> Observed:
    """A call that brings no result."""
    return Observed(tool=tool, args=str(args), answer=str(error), is_error=True)


def down(tool: str, args: object = "", dependency: str = "stripe") -> Observed:
    """A call that is not sent, since what the tool depends on is in trouble."""
    return Observed(tool=tool, args=str(args), answer="not sent", is_error=True, down=dependency)


def poll(tool: str, answer: object, *, at_s: float | None = None, every: str | None = None) -> Observed:
    """A look at something that is meant to be looked at again."""
    pattern = Poll(every=every)
    return Observed(tool=tool, args="", answer=str(answer), safety=Safety.READ, pattern=pattern, at_s=at_s)


def spawn(task: object) -> Observed:
    """Another agent is begun."""
    return Observed(tool="delegate", args=str(task), answer=str(task), pattern=Spawn())


def turn(*calls: Observed, tokens: int | None = None, news: bool = False) -> ObservedTurn:
    """One turn."""
    return ObservedTurn(calls=calls, tokens=tokens, has_other_news=news)


def turns(*calls: Observed) -> list[ObservedTurn]:
    """One turn for each call."""
    return [turn(call) for call in calls]


def fed(trace: Iterable[ObservedTurn], rules: LoopRules | None = None) -> list[tuple[LoopSign, ...]]:
    """The signs of each turn, until one ends the work."""
    watch, found = Watch(rules=rules or LoopRules()), list[tuple[LoopSign, ...]]()
    for each in trace:
        signs = watch.signs(each)
        watch = watch.after(each, signs)
        found.append(signs)
        if any(sign.stage == "stop" for sign in signs):
            break
    return found


def _poll_until_done() -> list[ObservedTurn]:
    """Nothing declared: each look has news."""
    return turns(*(read("progress", "export-1", f"{n} %") for n in range(0, 100, 10)), read("fetch"))


def _declared_poll() -> list[ObservedTurn]:
    """A build takes nine looks, and nothing moves meanwhile."""
    return turns(*(poll("build", "running") for _ in range(9)), poll("build", "done"), read("log"))


def _patient_poll() -> list[ObservedTurn]:
    """A queue of stages, each looked at several times, at the declared pace."""
    stages = ["queued"] * 6 + ["building"] * 8 + ["testing"] * 8 + ["done"]
    return turns(*(poll("build", s, at_s=30.0 * n, every="30s") for n, s in enumerate(stages)))


def _poll_and_sleep() -> list[ObservedTurn]:
    """The tool that waits is declared as a poll too."""
    sleeping = poll("sleep", "")
    looks = [[poll("build", state), sleeping] for state in ["running"] * 4 + ["uploading"] * 4 + ["done"]]
    return turns(*(call for look in looks for call in look))


def _pages() -> list[ObservedTurn]:
    """Forty pages of a list; the last ones are empty."""
    return turns(*(read("orders", f"page {n}", [] if n > 37 else n) for n in range(40)))


def _read_modify_write() -> list[ObservedTurn]:
    """A value is read, changed and read again; one write leaves what is read as it was."""
    steps: list[Observed] = []
    for n in range(9):
        steps += [read("stock", "sku-1", n // 2), write("set_stock", n)]
    return turns(*steps, read("stock", "sku-1", 4))


def _edit_and_test() -> list[ObservedTurn]:
    """Tests fail in the same way ten times, and the code is another one each time."""
    steps: list[Observed] = []
    for n in range(10):
        steps += [write("edit", f"patch {n}"), fails("run_tests", "", "AssertionError")]
    return turns(*steps, read("run_tests", "", "passed"))


def _batch_in_one_turn() -> list[ObservedTurn]:
    """Fifty letters alike, to fifty people, then a list of what was sent."""
    return [turn(*(write("send", f"person-{n}") for n in range(50))), turn(read("outbox", "", 50))]


def _batch_one_by_one() -> list[ObservedTurn]:
    """Thirty items that all have the same answer."""
    return turns(*(read("is_blocked", f"iban-{n}", "false") for n in range(30)))


def _batch_with_misses() -> list[ObservedTurn]:
    """Of a batch, half is not there; so too in the next one."""
    batches = []
    for start in range(0, 40, 10):
        calls = [read("fetch", n, n) if n % 2 else fails("fetch", n, "404") for n in range(start, start + 10)]
        batches.append(turn(*calls))
    return batches


def _retries_that_succeed() -> list[ObservedTurn]:
    """Away twice, then there; later again."""
    calls = [fails("charge", 1), fails("charge", 1), write("charge", 1)]
    more = [fails("charge", 2), fails("charge", 2), write("charge", 2)]
    return turns(*calls, *more, read("receipt"))


def _other_targets() -> list[ObservedTurn]:
    """Three mirrors are tried, and the fourth one has it."""
    return turns(*(fails("fetch", f"mirror-{n}", "404") for n in range(3)), read("fetch", "mirror-3", "it"))


def _looks_again_after_news() -> list[ObservedTurn]:
    """The same table is looked up now and then while there is work going on."""
    steps: list[Observed] = []
    for n in range(12):
        steps += [read("rates", "eur", "1.1"), write("book", n)]
    return turns(*steps)


def _conversation() -> list[ObservedTurn]:
    """The same question is asked by a person each time, and has the same answer."""
    return [turn(read("balance", "", "100"), news=True) for _ in range(8)]


def _crew() -> list[ObservedTurn]:
    """A few agents are begun, and each is read."""
    return [turn(*(spawn(n) for n in range(5))), *turns(*(read("report", n, n) for n in range(5)))]


def _reader() -> list[ObservedTurn]:
    """What there is to read grows and grows, and each turn has news."""
    return [turn(read("page", n, n), tokens=1000 * 2**n) for n in range(12)]


def _waits() -> list[ObservedTurn]:
    """Turns without a call of a tool: signals are waited for, and come."""
    return [turn(news=True) for _ in range(20)]


def _toggles() -> list[ObservedTurn]:
    """Two polls side by side, each at its own pace, up and down."""
    return [turn(poll("queue", n % 3), poll("errors", n % 2)) for n in range(30)]


LEGIT: Final[Mapping[str, Callable[[], list[ObservedTurn]]]] = {
    name.removeprefix("_"): make
    for name, make in list(globals().items())
    if name.startswith("_") and callable(make) and getattr(make, "__module__", "") == __name__
}
"""Work that is none of a loop."""


def _nonsense() -> list[Observed]:
    """Old answers in no order."""
    return [read("look", "abc"[n], n) for n in (0, 1, 2, 0, 0, 2, 1, 1, 2, 2, 0, 1, 0, 0, 2, 1, 1, 2, 0)]


LOOPS: Final[Mapping[str, tuple[list[ObservedTurn], str, int, int | None]]] = {
    "the same look, and it has the same answer": (
        turns(*[read("look", 1, 1)] * 20), "identical_result", 3, 5,
    ),
    "a change that is answered from the record": (
        turns(*[write("charge", 1)] * 20), "identical_result", 3, 5,
    ),
    "a call that fails in the same way": (
        turns(*[fails("charge", 1)] * 20), "identical_result", 3, 5,
    ),
    "back and forth": (
        turns(*[read("look", 1, 1), read("look", 2, 2)] * 10), "ping_pong", 4, 8,
    ),
    "three in a circle": (
        turns(*[read("a"), read("b"), read("c")] * 10), "ping_pong", 6, 12,
    ),
    "two agents that undo each other": (
        turns(*[write("set", 1), read("get", "", 1), write("set", 2), read("get", "", 2)] * 5),
        "ping_pong", 8, 16,
    ),
    "a poll that never moves": (
        turns(*[poll("build", "running")] * 60), "poll_no_change", 10, 30,
    ),
    "a poll without any pause": (
        turns(*(poll("build", "running", at_s=n / 10, every="30s") for n in range(60))),
        "identical_result", 4, 6,
    ),
    "variations of a call that cannot work": (
        turns(*(fails("query", f"variant {n}", "syntax") for n in range(20))), "same_error", 4, 8,
    ),
    "a system that is down, with something new in every turn": (
        [turn(down("charge", n, "stripe"), read("news", n, n)) for n in range(20)], "dependency_open", 1, 4,
    ),
    "two tools of one system that is down": (
        turns(*(down(("charge", "refund")[n % 2], n, "stripe") for n in range(20))), "dependency_open", 1, 4,
    ),
    "what is known, again and again in any order": (
        turns(*_nonsense()), "no_progress", 11, 15,
    ),
    "the same change twice in a turn": (
        [turn(write("charge", 1), write("charge", 1))], "duplicate_intent", 1, None,
    ),
    "an agent for everything": (
        turns(*(spawn(n) for n in range(40))), "fan_out", 8, 16,
    ),
    "a call whose answers always differ a little": (
        turns(*(read("clock", "", n) for n in range(40))), "identical_call", 20, None,
    ),
    "more and more to read, of what is known": (
        [turn(read("a", "", 1), read("b", "", 1), tokens=1000 * (n + 1)) for n in range(20)],
        "context_growth", 5, 9,
    ),
}  # fmt: skip
"""Loops: the sign that they show, at which turn it is told, and at which turn it ends the work (if it does)."""
