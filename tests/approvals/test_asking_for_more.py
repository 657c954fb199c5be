"""Whoever may decide may ask for more first, and the agent answers within the same question; HIT-09."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from approvals.office import Office, call_of
from holdfast import Approval, CallContext, Chain, Directory, InfoAnswer, Ledger, Person, Settings, Stage
from holdfast.errors import ApprovalRequired, DecisionRefused, InformationRequested, InvalidCall, InvalidTool

BOTH = Chain(stages=(Stage(quorum=2, timeout_s=1000, remind_s=(300.0, 600.0)),))
WHY = "Which invoice is this for?"
BECAUSE = "Invoice 7, of May."


def inquire(office: Office, ledger: Ledger, asked: Approval, by: str = "ana", **options: Any) -> Approval:
    found: Approval = office.run(ledger.request_info(asked.id, by=by, **{"question": WHY, **options}))
    return found


def answer(office: Office, ledger: Ledger, asked: Approval, text: str = BECAUSE, **options: Any) -> Approval:
    found: Approval = office.run(ledger.answer_info(asked.id, answer=text, **options))
    return found


def answering(to: str, text: str = BECAUSE) -> Any:
    return call_of(context=CallContext(answer=InfoAnswer(to=to, text=text)))


def met(office: Office, ledger: Ledger, call: Any = None, **options: Any) -> InformationRequested:
    """Make the call; return what it meets while an answer is owed."""
    with pytest.raises(InformationRequested) as asked:
        office.call(ledger, call, **options)
    return asked.value


def test_a_question_back_is_heard_answered_and_decided_on_within_one_approval(office: Office) -> None:
    """HIT-09: asked, asked back, answered by the same call, approved, executed once; one question all along."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    back = inquire(office, ledger, asked)
    heard = met(office, office.ledger())
    with pytest.raises(ApprovalRequired) as waits:
        office.call(office.ledger(), answering(heard.to))
    answered = office.question(ledger, asked.id)
    office.approve(ledger, answered)

    assert office.call(ledger) == {"charged": 100}
    assert office.bank.charged == [(100, "bob")]
    assert (back.state, back.digest) == ("pending", asked.digest)
    assert (heard.question, heard.by, heard.key) == (WHY, "ana", asked.key)
    assert type(waits.value) is ApprovalRequired
    assert answered.digest != asked.digest
    assert answered.expires_at == asked.expires_at
    assert answered.shown["answers"] == [{"number": 1, "by": "ana", "question": WHY, "answer": BECAUSE}]
    [only] = office.run(ledger.approvals(state=None))
    assert (only.id, only.state) == (asked.id, "consumed")
    assert office.run(ledger.verify()).ok


def test_question_and_answer_are_on_the_trail_with_who_and_what_they_saw(office: Office) -> None:
    """HIT-09, HIT-11: and both fingerprints."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    inquire(office, ledger, asked)
    answered = answer(office, ledger, asked)

    [request] = office.notes(asked.key, "info_requested")
    [told] = office.notes(asked.key, "info_answered")

    assert (request["by"], request["saw"], request["question"]) == ("ana", asked.digest, WHY)
    assert (told["from"], told["to"], told["answer"]) == (asked.digest, answered.digest, BECAUSE)
    assert office.notes(asked.key, "decision") == []
    assert any("ana asked for more" in event.note for event in office.trail(asked.key))


def test_votes_stand_until_people_are_shown_more(office: Office) -> None:
    """HIT-09, attack 15: a yes to what was shown before is none to what is shown after."""
    ledger = office.ledger()
    asked = office.ask(ledger, requires_approval=BOTH)
    office.approve(ledger, asked, by="ben")
    assert [vote.person for vote in inquire(office, ledger, asked).votes] == ["ben"]
    answered = answer(office, ledger, asked)

    with pytest.raises(DecisionRefused) as stale:
        office.approve(ledger, asked, by="ana")

    assert answered.votes == ()
    assert stale.value.kind == "stale"
    for by in ("ana", "ben"):
        office.approve(ledger, answered, by=by)
    assert office.call(ledger, requires_approval=BOTH) == {"charged": 100}


@pytest.mark.parametrize("decides", ["approve", "deny"])
def test_people_may_decide_without_the_answer(office: Office, decides: str) -> None:
    """HIT-09: whoever asked, or anybody else; then nothing is owed."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    inquire(office, ledger, asked)

    after = office.approve(ledger, asked) if decides == "approve" else office.deny(ledger, asked)

    assert after.owed is None
    with pytest.raises(DecisionRefused) as late:
        answer(office, ledger, asked)
    assert late.value.kind == "unasked"


def test_whoever_asked_and_then_votes_needs_no_answer(office: Office) -> None:
    """HIT-09: the other one, who has not voted, goes on with the question as it was."""
    ledger = office.ledger()
    asked = office.ask(ledger, requires_approval=BOTH)
    inquire(office, ledger, asked)
    office.approve(ledger, asked)

    with pytest.raises(ApprovalRequired) as waits:
        office.call(ledger, requires_approval=BOTH)

    assert type(waits.value) is ApprovalRequired
    office.approve(ledger, asked, by="ben")
    assert office.call(ledger, requires_approval=BOTH) == {"charged": 100}


def test_nobody_asks_who_may_not_decide(office: Office) -> None:
    """HIT-10: not whoever wants it, not a program, not somebody without the role; each try is on record."""
    people = Directory([Person(id="ana", roles=frozenset({"chief"})), Person(id="bea")])
    ledger = office.ledger(people=people)
    asked = office.ask(ledger, requires_approval=Chain(stages=(Stage(role="chief"),)))

    for by in ("agent", "bea", "stranger"):
        with pytest.raises(DecisionRefused) as refused:
            inquire(office, ledger, asked, by=by)
        assert refused.value.kind == "not_allowed"

    assert len(office.notes(asked.key, "refused")) == 3
    assert office.question(ledger, asked.id).requests == ()


def test_who_looks_at_another_question_asks_nothing(office: Office) -> None:
    """Attack 15: with the fingerprint of what they saw, they ask about that only."""
    ledger = office.ledger()
    asked = office.ask(ledger, requires_approval=BOTH)
    office.approve(ledger, asked, by="ben", args={"amount": 50, "to": "bob"})

    with pytest.raises(DecisionRefused) as refused:
        inquire(office, ledger, asked, digest=asked.digest)

    assert refused.value.kind == "stale"


def test_one_answer_is_owed_at_a_time_and_not_for_ever(office: Office) -> None:
    """HIT-09: after three requests people decide; the fourth is refused."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    for number in range(3):
        inquire(office, ledger, asked, question=f"and {number}?")
        with pytest.raises(DecisionRefused) as owed:
            inquire(office, ledger, asked, by="ben")
        assert owed.value.kind == "owed"
        answer(office, ledger, asked, f"so {number}")

    with pytest.raises(DecisionRefused) as spent:
        inquire(office, ledger, asked)

    assert spent.value.kind == "spent"
    told = office.question(ledger, asked.id)
    assert [one["answer"] for one in told.shown["answers"]] == ["so 0", "so 1", "so 2"]


def test_how_often_people_may_ask_is_a_setting(office: Office) -> None:
    ledger = office.ledger(settings=Settings(max_info_requests=1))
    asked = office.ask(ledger)
    inquire(office, ledger, asked)
    answer(office, ledger, asked)

    with pytest.raises(DecisionRefused) as spent:
        inquire(office, ledger, asked)

    assert spent.value.kind == "spent"


def test_an_answer_that_comes_again_does_not_answer_what_was_asked_since(office: Office) -> None:
    """A turn that is repeated after a crash: attack on the record by an honest agent."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    inquire(office, ledger, asked)
    first = answering(met(office, ledger).to)
    with pytest.raises(ApprovalRequired):
        office.call(ledger, first)
    inquire(office, ledger, asked, question="And who has seen it?")

    heard = met(office, ledger, first)

    assert heard.question == "And who has seen it?"
    assert len(office.notes(asked.key, "info_answered")) == 1
    with pytest.raises(DecisionRefused) as stale:
        answer(office, ledger, asked, to=f"{asked.id[:12]}-1")
    assert stale.value.kind == "stale"


def test_only_who_asks_answers(office: Office) -> None:
    """HIT-19: what people read as the agent's word is the agent's."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    inquire(office, ledger, asked)

    with pytest.raises(DecisionRefused) as refused:
        answer(office, ledger.scoped(actor="another"), asked)

    assert refused.value.kind == "not_allowed"
    assert office.question(ledger, asked.id).owed is not None


def test_other_rules_are_another_question_and_owe_nothing(office: Office) -> None:
    """HIT-05: what was asked about the one is not asked about the other."""
    ledger = office.ledger()
    asked = office.ask(ledger, call_of(key="k"))
    inquire(office, ledger, asked)
    people = Chain(stages=(Stage(quorum=2),))

    with pytest.raises(ApprovalRequired) as anew:
        office.call(ledger, call_of(key="k"), requires_approval=people)

    assert anew.value.approval != asked.id
    assert office.question(ledger, asked.id).state == "withdrawn"


def test_time_runs_on_and_only_reminders_rest(office: Office) -> None:
    """HIT-09, HIT-15: it is the agent's turn; after its answer they go on where they rested; the end stays."""
    ledger = office.ledger()
    asked = office.ask(ledger, requires_approval=BOTH)
    office.clock.advance(200)
    inquire(office, ledger, asked)
    office.clock.advance(500)
    office.run(ledger.sweep())
    kinds = [notice.kind for notice in office.question(ledger, asked.id).untold]
    assert kinds == ["asked", "questioned"]

    answered = answer(office, ledger, asked)
    office.run(ledger.sweep())
    assert office.question(ledger, asked.id).reminded == 0
    office.clock.advance(150)
    office.run(ledger.sweep())
    assert office.question(ledger, asked.id).reminded == 1

    assert answered.expires_at == asked.expires_at == asked.created_at + timedelta(seconds=1000)
    office.clock.advance(150)
    assert office.question(ledger, asked.id).state == "expired"


def test_an_answer_that_is_owed_at_the_end_changes_nothing_about_the_end(office: Office) -> None:
    """HIT-15: silence of the agent is no as well."""
    ledger = office.ledger()
    asked = office.ask(ledger, requires_approval=BOTH)
    inquire(office, ledger, asked)
    office.clock.advance(1000)

    ended = office.question(ledger, asked.id)

    assert (ended.state, ended.owed) == ("expired", None)
    assert office.bank.charged == []


def test_a_second_stage_that_asks_begins_with_the_first_again(office: Office) -> None:
    """HIT-10: the first stage said yes to less than what is shown now."""
    chain = Chain(stages=(Stage(role="desk"), Stage(role="chief")))
    people = Directory(
        [Person(id="ana", roles=frozenset({"chief"})), Person(id="bea", roles=frozenset({"desk"}))]
    )
    ledger = office.ledger(people=people)
    asked = office.ask(ledger, requires_approval=chain)
    office.approve(ledger, asked, by="bea")
    inquire(office, ledger, asked, by="ana")

    answered = answer(office, ledger, asked)

    assert (answered.stage, answered.votes) == (0, ())
    office.approve(ledger, answered, by="bea")
    office.approve(ledger, answered, by="ana")
    assert office.call(ledger, requires_approval=chain) == {"charged": 100}


@pytest.mark.parametrize("question", ["", "  ", "x" * 2001, "\ud800", 7])
def test_a_question_that_nobody_can_read_is_none(office: Office, question: Any) -> None:
    ledger = office.ledger()
    asked = office.ask(ledger)

    with pytest.raises(InvalidCall):
        inquire(office, ledger, asked, question=question)


@pytest.mark.parametrize("text", ["", " \n", "x" * 4001, "\ud800", None])
def test_an_answer_has_its_size(office: Office, text: Any) -> None:
    ledger = office.ledger()
    asked = office.ask(ledger)
    inquire(office, ledger, asked)

    with pytest.raises(InvalidCall):
        answer(office, ledger, asked, text)
    with pytest.raises(InvalidCall):
        answering("x", text)
    assert office.question(ledger, asked.id).owed is not None


def test_no_tool_has_a_parameter_under_which_models_answer(office: Office) -> None:
    """HIT-09: it would never be given."""

    def charge(amount: int, holdfast_answer: str) -> None:
        del amount, holdfast_answer

    with pytest.raises(InvalidTool, match="holdfast_answer"):
        office.ledger().tool()(charge)
