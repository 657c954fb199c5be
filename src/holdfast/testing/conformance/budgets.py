"""The part of the store contract that is about budgets: what is held, what is spent, and what fits."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast._core.budget import EVERYBODY, HoldState, Per
from holdfast._core.change import Change, Committed, Conflict, PlainOutcome
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import Event, State
from holdfast.errors import StoreInvariant
from holdfast.ports import CostBy
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.purses import CLAIM, Purse, demand, hold, settled
from holdfast.testing.conformance.random_purses import PurseTrial
from holdfast.testing.conformance.subject import LEASE_S, TENANT, Subject, key_of, new_effect, stamp

DONE: Final = PlainOutcome(result="null")
_TRIALS: Final = itertools.count(1)


class BudgetContract:
    """What a store promises of budgets (I5), one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.fixture
    def purse(self, subject: Subject) -> Purse:
        """Return the store, driven by changes that hold and settle."""
        subject.clock.advance(1.234567)
        return Purse(subject)

    def test_a_claim_holds_and_its_record_settles(self, purse: Purse) -> None:
        head = purse.claimed(0, demand(amount=30))

        assert purse.level() == (0, 30)
        purse.moved(head, Event.SUCCEED, settled(0, amounts=(("tokens", 12),)), outcome=DONE)
        assert purse.level() == (12, 0)

    def test_nothing_passes_a_cap(self, purse: Purse) -> None:
        purse.claimed(0, demand(cap=100, amount=60))
        purse.claimed(1, demand(cap=100, amount=40))

        answer = purse.refused(2, demand(cap=100, amount=1))

        assert answer.found is None
        assert answer.refused is not None
        told = answer.refused
        assert (told.amount, told.level.cap, told.level.spent, told.level.held) == (1, 100, 0, 100)
        assert (told.level.owner, told.level.account, told.level.unit) == (TENANT, "tenant", "tokens")
        assert purse.level() == (0, 100)
        assert purse.subject.run(purse.subject.store.find(TENANT, key_of(2))).record is None

    def test_a_first_claim_above_the_cap_leaves_nothing(self, purse: Purse) -> None:
        answer = purse.refused(0, demand(cap=100, amount=101))

        assert answer.refused is not None
        assert answer.refused.level.left == 100
        assert purse.levels() == []
        assert purse.holds() == []

    def test_either_all_budgets_have_room_or_none_is_touched(self, purse: Purse) -> None:
        purse.claimed(0, demand(unit="usd", cap=50, amount=50))
        room = demand(account="agent:a", cap=100, amount=10), demand(account="workflow:w", cap=9, amount=9)

        answer = purse.refused(1, *room, demand(unit="usd", cap=50, amount=1))

        assert answer.refused is not None
        assert answer.refused.level.unit == "usd"
        assert [level.account for level in purse.levels()] == ["tenant"]

    def test_a_replay_is_answered_from_the_record_however_full_a_budget_is(self, purse: Purse) -> None:
        purse.claimed(0, demand(cap=30, amount=30))
        change, _ = purse.inserting(0, demand(cap=30, amount=30))

        answer = purse.subject.commit(change)

        assert isinstance(answer, Conflict)
        assert (answer.found, answer.refused) == (purse.subject.find(), None)
        assert purse.level() == (0, 30)

    def test_who_is_outrun_takes_and_settles_nothing(self, purse: Purse) -> None:
        head = purse.claimed(0, demand())
        purse.moved(head, Event.RELEASE, settled(0, basis="nothing"))

        change, _ = plan_move(head, Event.SUCCEED, stamp(purse.clock), outcome=DONE)
        late = along_with(change, [settled(0, amounts=(("tokens", 30),))])

        assert isinstance(purse.subject.commit(late), Conflict)
        assert purse.level() == (0, 0)

    def test_what_was_not_told_counts_by_its_bound(self, purse: Purse) -> None:
        head = purse.claimed(0, demand(amount=30), demand(unit="steps", amount=1), money=7, currency="usd")

        purse.moved(head, Event.SUCCEED, settled(0, amounts=(("tokens", 5),)), outcome=DONE)

        assert (purse.level(), purse.level(unit="steps")) == ((5, 0), (1, 0))
        assert [(cost.spent_money, cost.state) for cost in purse.holds()] == [(7, HoldState.SETTLED)]

    def test_what_nobody_knows_counts_by_its_bound_until_evidence_comes(self, purse: Purse) -> None:
        corrections: list[dict[str, Any]] = [{"amounts": (("tokens", 4),)}, {"basis": "nothing"}]
        for n, correction in enumerate(corrections):
            head = purse.claimed(n, demand(amount=30))
            doubted = purse.moved(head, Event.DOUBT, settled(n))
            before = purse.level()
            event = Event.RESOLVE_DONE if n == 0 else Event.RESOLVE_NOT_DONE
            op = settled(n, None, **correction)
            after = purse.moved(doubted, event, op, outcome=DONE if n == 0 else None)
            assert before == (30 + 4 * n, 0)
            assert purse.level() == (4, 0)
            purse.moved(after, Event.NOTE, op)
            assert purse.level() == (4, 0), "it is corrected once"

    def test_a_correction_counts_in_the_window_of_what_it_corrects(self, purse: Purse) -> None:
        head = purse.claimed(0, demand(per="hour"))
        doubted = purse.moved(head, Event.DOUBT, settled(0))
        purse.clock.advance(3600)
        purse.claimed(1, demand(per="hour", amount=10))

        purse.moved(doubted, Event.RESOLVE_NOT_DONE, settled(0, None, basis="nothing"))

        assert purse.level() == (0, 10)

    def test_a_worker_that_takes_over_settles_and_holds_in_one_change(self, purse: Purse) -> None:
        seat = demand(unit="concurrency", cap=1, amount=1, returns=True)
        head = purse.claimed(0, seat, demand(cap=60, amount=30))
        purse.clock.advance(LEASE_S + 1)

        second = hold(purse.clock, 0, seat, demand(cap=60, amount=30), attempt=2)
        purse.moved(head, Event.TAKE_OVER, settled(0), second, lease_over=True, **CLAIM)

        assert (purse.level(), purse.level(unit="concurrency")) == ((30, 30), (0, 1))
        assert [cost.state for cost in purse.holds()] == [HoldState.HELD, HoldState.ASSUMED]

    def test_what_is_over_when_it_is_recorded_is_spent_at_once(self, purse: Purse) -> None:
        seat = demand(unit="concurrency", cap=1, amount=1, returns=True)
        spending = {"is_spent": True, "currency": "usd", "money": 8, "tokens": 30}
        purse.claimed(0, demand(cap=40, amount=30), seat, **spending)

        assert (purse.level(), purse.level(unit="concurrency")) == ((30, 0), (0, 0))
        assert purse.refused(1, demand(cap=40, amount=11), **spending).refused is not None
        [cost] = purse.holds()
        assert (cost.state, cost.spent_money, cost.spent_tokens) == (HoldState.SETTLED, 8, 30)
        assert cost.settled_at == purse.clock()

    def test_a_claim_after_the_first_is_refused_with_the_effect_as_it_is(self, purse: Purse) -> None:
        head = purse.claimed(0, demand(cap=40, amount=30))
        released = purse.moved(head, Event.RELEASE, settled(0, amounts=(("tokens", 20),)))
        change, _ = plan_move(released, Event.CLAIM, stamp(purse.clock), **CLAIM)

        answer = purse.subject.commit(along_with(change, [hold(purse.clock, 0, demand(cap=40), attempt=2)]))

        assert isinstance(answer, Conflict)
        assert answer.refused is not None
        assert answer.found == purse.subject.find()
        assert purse.subject.find().state is State.RETRYABLE

    def test_what_returns_is_free_again_and_never_spent(self, purse: Purse) -> None:
        seat = demand(unit="concurrency", cap=1, amount=1, returns=True)
        head = purse.claimed(0, seat)
        assert purse.refused(1, seat).refused is not None

        purse.moved(head, Event.SUCCEED, settled(0), outcome=DONE)

        assert purse.level(unit="concurrency") == (0, 0)
        purse.claimed(1, seat)

    @pytest.mark.parametrize(
        ("per", "step"),
        [("minute", 60), ("hour", 3600), ("day", 86400), ("month", 31 * 86400)],
    )
    def test_a_window_begins_anew_and_what_is_held_stays_held(
        self, purse: Purse, per: Per, step: int
    ) -> None:
        head = purse.claimed(0, demand(amount=60, per=per))
        purse.claimed(1, demand(amount=20, per=per))
        purse.moved(head, Event.SUCCEED, settled(0, amounts=(("tokens", 60),)), outcome=DONE)
        assert purse.level() == (60, 20)

        purse.clock.advance(step)

        assert purse.level() == (0, 20)
        purse.claimed(2, demand(amount=80, per=per))
        [level] = purse.levels()
        assert (level.spent, level.held) == (0, 100)
        assert level.window_start <= purse.clock()
        assert purse.refused(3, demand(amount=1, per=per)).refused is not None

    def test_windows_begin_where_the_calendar_has_them(self, purse: Purse) -> None:
        purse.clock.advance((datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC) - purse.clock()).total_seconds())
        pers: tuple[Per, ...] = ("", "minute", "hour", "day", "month")
        purse.claimed(0, *(demand(per=per) for per in pers))
        before = {level.per: level.window_start for level in purse.levels()}
        purse.clock.advance(1)
        after = {level.per: level.window_start for level in purse.levels()}

        assert before[""] == after[""] == datetime(1970, 1, 1, tzinfo=UTC)
        assert before["minute"] == datetime(2027, 2, 28, 23, 59, tzinfo=UTC)
        assert before["hour"] == datetime(2027, 2, 28, 23, tzinfo=UTC)
        assert before["day"] == datetime(2027, 2, 28, tzinfo=UTC)
        assert before["month"] == datetime(2027, 2, 1, tzinfo=UTC)
        assert {after[per] for per in pers[1:]} == {datetime(2027, 3, 1, tzinfo=UTC)}

    def test_a_changed_declaration_counts_from_the_next_claim(self, purse: Purse) -> None:
        purse.claimed(0, demand(cap=100, amount=50))

        assert purse.refused(1, demand(cap=60, amount=20)).refused is not None
        purse.claimed(2, demand(cap=200, amount=120))

        assert [level.cap for level in purse.levels()] == [200]

    def test_people_add_to_a_cap_and_take_away_again(self, purse: Purse) -> None:
        purse.claimed(0, demand(cap=100, amount=90))

        raised = purse.cap(was=0, raised=50)

        assert raised is not None
        assert (raised.cap, raised.raised, raised.held) == (150, 50, 90)
        assert purse.cap(was=0, raised=70) is None
        purse.claimed(1, demand(cap=100, amount=60))
        lowered = purse.cap(was=50, raised=-20)
        assert lowered is not None
        assert lowered.left == 80 - 150
        assert purse.refused(2, demand(cap=100, amount=1)).refused is not None

    def test_people_may_raise_a_budget_before_anybody_uses_it(self, purse: Purse) -> None:
        assert purse.cap(was=5, raised=10) is None

        assert purse.cap(was=0, raised=10) is not None

        purse.claimed(0, demand(cap=100, amount=110))

    def test_tenants_share_what_is_everybodys_and_nothing_else(self, purse: Purse) -> None:
        purse.claimed(0, demand(owner=EVERYBODY, account="global", cap=50, amount=30), demand(amount=100))
        assert purse.level("global", owner=EVERYBODY) == (0, 30)
        purse.subject.commit(self.of_another(purse))

        assert purse.level("global", owner=EVERYBODY) == (0, 50)
        assert [(of.account, of.held) for of in purse.levels("tenant-2")] == [("tenant", 100)]
        assert purse.level() == (0, 100)
        one_more = demand(owner=EVERYBODY, account="global", cap=50, amount=1)
        assert purse.refused(2, one_more).refused is not None

    def of_another(self, purse: Purse) -> Change:
        """Return a claim of another tenant's."""
        effect = new_effect(1, tenant="tenant-2")
        change, _ = plan_insert(effect, Event.CLAIM, stamp(purse.clock), **CLAIM)
        demands = (
            demand(owner=EVERYBODY, account="global", cap=50, amount=20),
            demand(owner="tenant-2", amount=100),
        )
        return along_with(change, [hold(purse.clock, 1, *demands, tenant="tenant-2")])

    def test_the_answer_tells_how_full_the_budgets_are(self, purse: Purse) -> None:
        change, head = purse.inserting(0, demand(amount=30), demand(account="agent:a", cap=9, amount=2))
        claimed = purse.subject.commit(change)
        change, _ = plan_move(head, Event.SUCCEED, stamp(purse.clock), outcome=DONE)
        ended = purse.subject.commit(along_with(change, [settled(0, amounts=(("tokens", 1),))]))

        assert isinstance(claimed, Committed)
        assert isinstance(ended, Committed)
        assert [(of.account, of.spent, of.held) for of in claimed.levels] == [
            ("agent:a", 0, 2),
            ("tenant", 0, 30),
        ]
        assert [(of.account, of.spent, of.held) for of in ended.levels] == [
            ("agent:a", 1, 0),
            ("tenant", 1, 0),
        ]
        assert list(ended.levels) == purse.levels()

    def test_divided_budgets_admit_exactly_what_fits(self, purse: Purse) -> None:
        cap = 100
        heads = [purse.claimed(n, demand(cap=cap, amount=7, slices=4), slice=n) for n in range(cap // 7)]

        refused = purse.refused(90, demand(cap=cap, amount=7, slices=4), slice=1).refused
        assert refused is not None
        assert (refused.level.spent, refused.level.held) == (0, 98)
        purse.claimed(91, demand(cap=cap, amount=2, slices=4), slice=3)
        for n, head in enumerate(heads):
            op = settled(n, amounts=(("tokens", 3),))
            purse.moved(head, Event.SUCCEED, op, outcome=DONE)
        assert purse.level() == (3 * len(heads), 2)
        left = cap - 3 * len(heads) - 2
        purse.claimed(92, demand(cap=cap, amount=left, slices=4), slice=0)
        assert purse.level() == (3 * len(heads), left + 2)
        assert purse.refused(93, demand(cap=cap, amount=1), slice=2).refused is not None

    def test_a_divided_budget_begins_anew_as_a_whole(self, purse: Purse) -> None:
        shared = demand(cap=40, amount=10, slices=2, per="hour")
        heads = [purse.claimed(n, shared, slice=n) for n in range(4)]
        purse.moved(heads[0], Event.SUCCEED, settled(0), outcome=DONE)
        purse.clock.advance(3600)

        assert purse.level() == (0, 30)
        purse.claimed(5, shared, slice=1)
        purse.moved(heads[1], Event.SUCCEED, settled(1), outcome=DONE)
        assert purse.level() == (10, 30)
        assert purse.refused(6, shared, slice=0).refused is not None

    def test_costs_are_told_as_they_were_placed_and_settled(self, purse: Purse) -> None:
        told = {"model": "m", "currency": "usd", "money": 90, "tokens": 30, "price": "p@1"}
        head = purse.claimed(0, demand(), **told)
        [held] = purse.holds(key=key_of(0))
        amounts = (("tokens", 12), ("usd", 34))
        op = settled(0, amounts=amounts, usage='{"input":12}')
        purse.moved(head, Event.SUCCEED, op, outcome=DONE)
        [cost] = purse.holds(state=HoldState.SETTLED)

        assert (held.model, held.currency, held.money, held.tokens, held.price) == ("m", "usd", 90, 30, "p@1")
        assert (held.state, held.spent_money, held.spent_tokens, held.settled_at) == (
            "held",
            None,
            None,
            None,
        )
        assert (held.workflow_id, held.actor, held.tool, held.at) == (
            new_effect(0).workflow_id,
            "agent",
            "charge",
            purse.clock(),
        )
        assert (cost.spent_money, cost.spent_tokens, cost.usage) == (34, 12, '{"input":12}')
        assert (cost.settled_at, cost.taken) == (purse.clock(), held.taken)
        assert purse.holds(workflow_id="order-1") == []

    def test_what_was_spent_for_nothing_is_told_and_why(self, purse: Purse) -> None:
        """COS-12, COS-16: each retry is counted, and what nobody knows is told apart."""
        told = {"currency": "usd", "money": 100, "tokens": 10}
        spent: dict[str, Any] = {"amounts": (("tokens", 4), ("usd", 40))}
        tried = purse.claimed(0, demand(amount=1), **told)
        tried = purse.moved(tried, Event.RELEASE, settled(0, **spent))
        again = hold(purse.clock, 0, demand(amount=1), attempt=2, **told)
        tried = purse.moved(tried, Event.CLAIM, again, **CLAIM)
        purse.moved(tried, Event.SUCCEED, settled(0, 2, **spent), outcome=DONE)
        ends = {1: Event.FAIL, 2: Event.RELEASE, 3: Event.DOUBT, 4: Event.RELEASE}
        for n, event in ends.items():
            op = settled(n) if event is Event.DOUBT else settled(n, **spent)
            ended = purse.moved(purse.claimed(n, demand(amount=1), **told), event, op)
            if n == 2:
                purse.moved(ended, Event.CANCEL)
        purse.claimed(5, demand(amount=1), **told)

        reasons = purse.costs(by="waste")

        assert [(row.name, row.attempts, row.money, row.tokens) for row in reasons] == [
            ("", 2, 40, 4),
            ("cancelled", 1, 40, 4),
            ("failed", 1, 40, 4),
            ("retried", 2, 80, 8),
            ("unknown", 1, 100, 10),
        ]
        assert [(row.wasted_money, row.wasted_tokens) for row in reasons] == [
            (0, 0),
            *((row.money, row.tokens) for row in reasons[1:]),
        ]
        [tool] = purse.costs(by="tool")
        assert (tool.money, tool.wasted_money, tool.tokens, tool.wasted_tokens) == (300, 260, 30, 26)

    @pytest.mark.parametrize("by", get_args(CostBy))
    def test_the_parts_of_costs_add_up(self, purse: Purse, by: str) -> None:
        for n in range(6):
            told = {"model": f"m{n % 2}", "actor": f"a{n % 3}", "currency": ("usd", "eur")[n % 2]}
            head = purse.claimed(n, demand(amount=10), money=100 + n, tokens=10, **told)
            if n in {1, 2}:
                op = settled(n, amounts=(("tokens", n), (told["currency"], 10 * n)))
                purse.moved(head, Event.SUCCEED, op, outcome=DONE)
            if n in {3, 4}:
                purse.moved(head, Event.DOUBT, settled(n))
            purse.clock.advance(20000)

        rows = purse.costs(by=by)

        assert [row.name for row in rows] == sorted(row.name for row in rows)
        assert sum(row.attempts for row in rows) == 6
        totals = {c: [r for r in rows if r.currency == c] for c in ("usd", "eur")}
        assert {c: sum(r.money for r in of) for c, of in totals.items()} == {"usd": 20 + 104, "eur": 10 + 103}
        assert {c: sum(r.assumed_money for r in of) for c, of in totals.items()} == {"usd": 104, "eur": 103}
        assert {c: sum(r.held_money for r in of) for c, of in totals.items()} == {"usd": 100, "eur": 105}
        assert sum(row.tokens for row in rows) == 1 + 2 + 20
        since = purse.clock() - timedelta(seconds=20000)
        assert sum(row.attempts for row in purse.costs(by=by, since=since)) == 1
        assert sum(row.attempts for row in purse.costs(by=by, until=since)) == 5
        assert sum(row.attempts for row in purse.costs(by=by, workflow_id="order-1")) == 3

    def test_budgets_are_listed_page_by_page(self, purse: Purse) -> None:
        names = [("agent:a", "tokens"), ("agent:a", "usd"), ("tenant", "steps"), ("workflow:w", "tokens")]
        purse.claimed(0, *(demand(account=account, unit=unit, amount=1) for account, unit in names))
        found: list[tuple[str, str]] = []
        after: tuple[str, str, str] | None = None
        while page := purse.levels(limit=3, after=after):
            found += [(level.account, level.unit) for level in page]
            after = page[-1].account, page[-1].unit, page[-1].per

        assert found == names
        assert [level.unit for level in purse.levels(prefix="agent:")] == ["tokens", "usd"]
        assert [level.unit for level in purse.levels(account="tenant")] == ["steps"]

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(data=st.data())
    def test_random_claims_hold_and_settle_as_the_oracle_does(
        self, subject: Subject, data: st.DataObject
    ) -> None:
        """I5: also where a budget is divided, and slices are mixed with claims on the whole."""
        trial = PurseTrial(subject, MemoryStore(clock=subject.clock), f"purse-{next(_TRIALS)}")

        for _ in range(data.draw(st.integers(5, 15), label="steps")):
            trial.step(data)

    def test_one_attempt_holds_once(self, purse: Purse) -> None:
        head = purse.claimed(0, demand())
        change, _ = plan_move(head, Event.NOTE, stamp(purse.clock))

        again = purse.subject.answer(along_with(change, [hold(purse.clock, 0, demand())]))

        assert again is StoreInvariant
        assert purse.level() == (0, 30)

    def test_costs_go_with_their_effects_and_budgets_with_their_workflows(self, purse: Purse) -> None:
        run = demand(account="workflow:order-0", amount=5)
        head = purse.claimed(0, demand(), run)
        purse.moved(head, Event.SUCCEED, settled(0), outcome=DONE)
        purse.claimed(2, demand(account="workflow:order-2", amount=5))
        purse.clock.advance(100)
        store, run_it, before = purse.subject.store, purse.subject.run, purse.clock()
        purse.subject.bystander()

        assert run_it(store.reap_rest(TENANT, before, 10)) == 1  # the budget: the effect is there
        assert run_it(store.reap(TENANT, before, 10)) == 1
        assert run_it(store.reap_rest(TENANT, before, 10)) == 1
        assert [cost.key for cost in purse.holds()] == [key_of(2)]
        assert [level.account for level in purse.levels()] == ["tenant", "workflow:order-2"]
