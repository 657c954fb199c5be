"""The part of the store contract about budgets under attack: what is large, odd, turned back or changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from holdfast._core.budget import MOST
from holdfast._core.change import Committed, Conflict, Head
from holdfast._core.states import Event
from holdfast.errors import StoreInvariant
from holdfast.testing.conformance.budgets import DONE
from holdfast.testing.conformance.purses import Purse, demand, settled

_BORDER: Final = datetime(2027, 3, 1, tzinfo=UTC)


class BudgetAttackContract:
    """What a store promises of budgets (I5) whatever is asked of it.

    Part of ``StoreContract``; ``BudgetContract`` says what a purse is.
    """

    def test_the_largest_amounts_add_up(self, purse: Purse) -> None:
        head = purse.claimed(0, demand(cap=MOST, amount=MOST - 1))
        purse.claimed(1, demand(cap=MOST, amount=1))

        assert purse.refused(2, demand(cap=MOST, amount=1)).refused is not None
        assert purse.refused(3, demand(cap=MOST, amount=MOST)).refused is not None
        purse.moved(head, Event.SUCCEED, settled(0, amounts=(("tokens", MOST),)), outcome=DONE)
        assert purse.level() == (MOST, 1)

    def test_who_spends_more_than_it_held_is_told_of_truly_and_nothing_more_is_admitted(
        self, purse: Purse
    ) -> None:
        head = purse.claimed(0, demand(amount=30))

        purse.moved(head, Event.SUCCEED, settled(0, amounts=(("tokens", 1000),)), outcome=DONE)

        assert purse.level() == (1000, 0)
        told = purse.refused(1, demand(amount=1)).refused
        assert told is not None
        assert told.level.left == -900

    def test_a_cap_lowered_below_what_was_spent_admits_nothing_and_loses_nothing(self, purse: Purse) -> None:
        head = purse.claimed(0, demand(cap=100, amount=60))

        assert purse.refused(1, demand(cap=50, amount=0)).refused is not None
        purse.moved(head, Event.SUCCEED, settled(0), outcome=DONE)
        assert purse.refused(1, demand(cap=50, amount=1)).refused is not None
        assert purse.level() == (60, 0)

    def test_a_clock_that_goes_back_over_a_border_opens_no_second_window(self, purse: Purse) -> None:
        purse.clock.advance((_BORDER - purse.clock()).total_seconds() + 0.5)
        head = purse.claimed(0, demand(per="month", amount=60))
        purse.clock.advance(-1)

        assert purse.refused(1, demand(per="month", amount=41)).refused is not None
        purse.moved(head, Event.SUCCEED, settled(0, amounts=(("tokens", 60),)), outcome=DONE)
        assert purse.level() == (60, 0)
        purse.clock.advance(1)
        assert purse.level() == (60, 0)
        assert purse.refused(1, demand(per="month", amount=41)).refused is not None

    def test_one_claim_may_fall_under_a_thousand_budgets(self, purse: Purse) -> None:
        many = [demand(account=f"scope:{n}", amount=1) for n in range(1000)]
        head = purse.claimed(0, *many)
        last = demand(account="scope:999", cap=1, amount=1)

        assert purse.refused(1, *many[:999], last).refused is not None
        purse.moved(head, Event.SUCCEED, settled(0), outcome=DONE)

        levels = purse.levels(limit=2000)
        assert len(levels) == 1000
        assert {(level.spent, level.held) for level in levels} == {(1, 0)}

    def test_the_same_budget_twice_in_one_claim_passes_no_cap(self, purse: Purse) -> None:
        change, _ = purse.inserting(0, demand(cap=100, amount=60), demand(cap=100, amount=60))

        answer = purse.subject.answer(change)

        assert answer is StoreInvariant or isinstance(answer, Conflict)
        assert purse.levels() == []

    def test_slices_may_change_from_one_deploy_to_the_next(self, purse: Purse) -> None:
        made = 0
        heads: list[Head] = []
        for slices in (16, 4, 0, 4, 16, 0):
            for n in range(3):
                one = demand(cap=100, amount=5, slices=slices)
                heads.append(purse.claimed(made, one, slice=n * 5))
                made += 1
        assert purse.level() == (0, 5 * made)
        for n, head in enumerate(heads):
            purse.moved(head, Event.SUCCEED, settled(n, amounts=(("tokens", 4),)), outcome=DONE)
        assert purse.level() == (4 * made, 0)

        left = 100 - 4 * made
        for slices in (16, 4, 0):
            too_much = demand(cap=100, amount=left + 1, slices=slices)
            assert purse.refused(90, too_much, slice=3).refused is not None
        purse.claimed(91, demand(cap=100, amount=left, slices=4), slice=2)
        assert purse.level() == (4 * made, left)

    def test_everybodys_budget_and_a_tenants_of_that_name_are_two(self, purse: Purse) -> None:
        mine, everybodys = demand(cap=10, amount=10), demand(owner="", cap=10, amount=4)

        change, _ = purse.inserting(0, mine, everybodys)

        assert isinstance(purse.subject.commit(change), Committed)
        assert (purse.level(), purse.level(owner="")) == ((0, 10), (0, 4))

    @pytest.mark.parametrize("word", ["a\x00b", "a\x1fb", "ü\U0001f4b6", 'a"b\\c,{}', " "])
    def test_names_are_told_apart_to_the_last_letter_or_refused(self, purse: Purse, word: str) -> None:
        change, _ = purse.inserting(0, demand(account=f"agent:{word}"), demand(account=f"agent:{word[0]}"))

        answer = purse.subject.answer(change)

        assert answer is StoreInvariant or isinstance(answer, Committed)
        names = {level.account for level in purse.levels()}
        assert names in (set(), {f"agent:{word}", f"agent:{word[0]}"})
