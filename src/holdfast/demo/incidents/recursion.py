"""An agent hands its work on to a sub-agent, which hands it on to a sub-agent, and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import openai

from holdfast import Budget, SyncLedger
from holdfast.demo.incidents.figures import MODEL, PRICES, CountedModel, Incident, Played, Run
from holdfast.errors import BudgetExceeded
from holdfast.testing.model import ModelRequest, ModelServer, call, fails, says

_REPORTED_TOKENS: Final = 1_670_000_000
_CUT_AFTER: Final = 200
"""So many requests are played where nothing else would end it."""
_NOTES: Final = 1_600
"""So many characters does each agent add to what it hands on."""
_BUDGET: Final = Budget(usd="2.00", reserve=Budget(usd="0.10"))
_TOOL: Final[Any] = {"type": "function", "function": {"name": "delegate", "parameters": {"type": "object"}}}


def delegates(request: ModelRequest) -> Any:
    """Hand everything on, for ever; without tools on offer, say what there is."""
    if not request.tools:
        return says("The plan stands, and nothing of it was begun: every agent handed it on.")
    if request.number > _CUT_AFTER:
        return fails(400, "cut: the play ends here")
    return says(f"Level {request.number}: this is too much for one.", call("delegate"))


def research(client: openai.OpenAI, task: str, level: int = 1) -> str:
    """Work on *task* as agents of agents do: what is asked for by the tool is done by another like this."""
    notes = f"\nLevel {level}: ".ljust(_NOTES, ".")
    talk: list[Any] = [{"role": "user", "content": task}]
    while True:
        said: Any = client.chat.completions.create(model=MODEL, messages=talk, tools=[_TOOL], max_tokens=500)
        message = said.choices[0].message
        if not message.tool_calls:
            return str(message.content)
        talk.append(message)
        for asked in message.tool_calls:
            found = research(client, task + notes, level + 1)
            talk.append({"role": "tool", "tool_call_id": asked.id, "content": found})


def _without(model: CountedModel) -> Run:
    with (
        ModelServer(model) as server,
        openai.OpenAI(base_url=server.openai_url, api_key="any", max_retries=0) as client,
    ):
        try:
            research(client, "Plan the migration.")
        except openai.BadRequestError:
            if model.count > _CUT_AFTER:
                return model.run(f"nothing; cut after {_CUT_AFTER} requests")
            raise
    return model.run("the model")


def _guarded(model: CountedModel, home: Path) -> Run:
    with (
        ModelServer(model) as server,
        SyncLedger(f"sqlite:///{home}/recursion.db", prices=PRICES) as ledger,
        ledger.model(openai.OpenAI(base_url=server.openai_url, api_key="any")) as client,
    ):

        def sum_up(refused: BudgetExceeded) -> str:
            asked: Any = [{"role": "user", "content": f"The {refused.unit} are used up. Sum up."}]
            said = client.chat.completions.create(model=MODEL, messages=asked, max_tokens=200)
            return str(said.choices[0].message.content)

        ended = ledger.within(
            "migration", _BUDGET, lambda: research(client, "Plan the migration."), on_budget=sum_up
        )
    return model.run(f"{ended.status}, with an answer")


def play(home: Path) -> Played:
    """Play it."""
    endless, model = CountedModel(then=delegates), CountedModel(then=delegates)
    without, guarded = _without(endless), _guarded(model, home)
    more = (_REPORTED_TOKENS - endless.tokens) // endless.largest
    at_scale = (
        f"The last request alone used {endless.largest:,} tokens. 1.67 billion are {more:,} more like it: "
        f"arithmetic, not played."
    )
    return Played(without=without, guarded=guarded, at_scale=at_scale)


RECURSION: Final = Incident(
    name="recursion",
    title="A recursion without a floor",
    reported="January 2025: a coding agent was stuck in a recursion, about $16,000 for 1.67 billion tokens.",
    story="Each agent hands its task, and all notes so far, to a sub-agent. None of them does anything.",
    acts="",
    stops=(
        "One budget of $2.00 for all of them, of which $0.10 is kept for a last answer. A request that may cost "
        "more than what is left is not sent."
    ),
    play=play,
)
