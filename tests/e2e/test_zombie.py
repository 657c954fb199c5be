"""Processes frozen with SIGSTOP past their lease, and woken up again when somebody else took over."""

from __future__ import annotations

import pytest

from e2e.children import CALL, Scene
from holdfast import State
from holdfast.errors import OutcomeUnknown


@pytest.fixture(autouse=True)
def slow_heartbeat(scene: Scene) -> None:
    """No process is frozen in the middle of a renewal, with a lock of SQLite in its hand."""
    scene.lease_s, scene.renew_every_s = 1.0, 0.5


def test_x3_a_frozen_process_that_was_taken_over_cannot_write_any_more(scene: Scene) -> None:
    """X3, IDE-19: its late record is refused and kept as evidence; the successor's stands."""
    with scene.worker("handler-end", safety="idempotent") as frozen, scene.ledger() as ledger:
        frozen.at("handler-end")
        frozen.freeze()
        taken_over = ledger.call(
            CALL, lambda amount: {"charged": amount, "by": "successor"}, safety="idempotent"
        )
        frozen.thaw()
        frozen.go()
        told = frozen.heard()

        effect = ledger.effect(taken_over.key)
        trail = ledger.audit(taken_over.key)
        assert ledger.verify().ok

    assert told["error"] == "LeaseLost"
    assert "kept as evidence" in told["text"]
    assert (effect.state, effect.attempt) == (State.SUCCEEDED, 2)
    assert effect.result == {"charged": 100, "by": "successor"}
    assert [entry.event for entry in trail] == ["claim", "take_over", "succeed", "note"]
    assert trail[-1].details["late"] == "succeed"
    assert trail[-1].details["late_result"] == {"charged": 100, "attempt": 1}
    assert len(scene.happened) == 1  # the successor's handler does nothing in this test


def test_x3_the_late_result_of_a_frozen_process_settles_the_doubt_about_it(scene: Scene) -> None:
    """X3, IDE-19, IDE-15: an unsafe effect is never executed again; its own worker is the best witness."""
    with scene.worker("handler-end") as frozen, scene.ledger() as ledger:
        frozen.at("handler-end")
        frozen.freeze()
        with pytest.raises(OutcomeUnknown):
            ledger.run(CALL, lambda amount: pytest.fail("executed twice"))
        frozen.thaw()
        frozen.go()
        told = frozen.heard()

        [effect] = ledger.effects()
        trail = ledger.audit(effect.key)
        assert ledger.run(CALL, lambda amount: pytest.fail("executed twice")) == told["result"]
        assert ledger.verify().ok

    assert told == {"result": {"charged": 100, "attempt": 1}}
    assert (effect.state, effect.attempt) == (State.SUCCEEDED, 1)
    assert [entry.event for entry in trail] == ["claim", "doubt", "resolve_done"]
    assert trail[-1].details["late"] == "succeed"
    assert len(scene.happened) == 1


def test_x4_a_frozen_process_that_wakes_up_in_time_goes_on_as_if_nothing_had_been(scene: Scene) -> None:
    """X3, X4: being asked about meanwhile costs a living claim nothing."""
    with scene.worker("handler-end") as frozen, scene.ledger() as ledger:
        frozen.at("handler-end")
        frozen.freeze()
        [before] = ledger.effects()
        frozen.thaw()
        frozen.go()
        told = frozen.heard()
        [after] = ledger.effects()

    assert told["result"] == after.result
    assert (before.state, after.state) == (State.PENDING, State.SUCCEEDED)
