"""Real processes, killed with SIGKILL at every boundary of a call: what is left, and what happens next.

The expectations are not written here: they are read from the tables of the guarantees page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e.children import CALL, Scene
from holdfast import State, SyncLedger
from holdfast.errors import OutcomeUnknown

PAGE = (Path(__file__).resolve().parents[2] / "docs/explanation/guarantees.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The cells of the table whose first column is called *heading*, row by row."""
    _, _, rest = PAGE.partition(f"| {heading}")
    rows = []
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


WINDOWS = {row[0]: row[1:] for row in table("the process dies …")}
PLACES = {
    "before the claim is committed": "before-commit-1",
    "after the claim, before the handler starts": "after-commit-1",
    "while the handler runs": "handler-start",
    "after the handler returned, before the record is committed": "before-commit-2",
    "after the record is committed, before the caller has it": "after-commit-2",
}


def test_every_window_of_the_guarantees_page_has_a_place_to_kill_at() -> None:
    """DUR-10, DOC-03."""
    assert WINDOWS.keys() == PLACES.keys()


@pytest.mark.parametrize("window", PLACES)
def test_x1_a_process_killed_in_any_window_leaves_what_the_guarantees_page_says(
    scene: Scene, window: str
) -> None:
    """X1, DUR-10, DOC-03, IDE-02, IDE-05."""
    on_record, in_the_world, next_call = WINDOWS[window]
    with scene.worker(PLACES[window]) as worker:
        worker.at(PLACES[window])
        worker.kill()

    with scene.ledger() as ledger:
        left = ledger.effects()
        assert [f"`{effect.state}`" for effect in left] == ([] if on_record == "nothing" else [on_record])
        counted = len(scene.happened)
        assert {"nothing": counted == 0, "perhaps": counted <= 1, "done": counted == 1}[in_the_world]
        if next_call == "executes":
            assert again(scene, ledger) == {"charged": 100}
        elif next_call == "gets the recorded result":
            assert again(scene, ledger) == {"charged": 100, "attempt": 1}
        else:
            assert next_call == "waits for the lease, then `unknown`"
            with pytest.raises(OutcomeUnknown, match=left[0].key):
                again(scene, ledger)
            with pytest.raises(OutcomeUnknown):  # and nobody has to wait a second time
                again(scene, ledger, wait=0)
        assert len(scene.happened) <= 1
        assert ledger.verify().ok


def again(scene: Scene, ledger: SyncLedger, wait: float | None = None) -> object:
    """The same call, from another process: this one."""

    def charge(amount: int) -> dict[str, int]:
        with (scene.directory / "world").open("a") as world:
            world.write("again\n")
        return {"charged": amount}

    return ledger.run(CALL, charge, wait=wait)


def test_c2_a_new_process_is_answered_from_the_record(scene: Scene) -> None:
    """C2, IDE-04."""
    told = []
    for _ in range(2):
        with scene.worker() as worker:
            told.append(worker.heard())
            assert worker.ended() == (0, "")

    assert told == [{"result": {"charged": 100, "attempt": 1}}] * 2
    assert len(scene.happened) == 1


def test_the_key_survives_a_kill_and_a_handoff_to_another_process(scene: Scene) -> None:
    """IDE-03, IDE-17, IDE-24: the provider sees one key, although two processes sent it."""
    with scene.worker("handler-end", safety="idempotent") as first:
        first.at("handler-end")
        first.kill()
    with scene.ledger() as ledger:
        [left] = ledger.effects()
    with scene.worker(safety="idempotent", face="sync") as second:
        told = second.heard()

    with scene.ledger() as ledger:
        [effect] = ledger.effects()
        from_another_agent = ledger.scoped(actor="sub-agent").call(CALL, lambda amount: None)
    assert told == {"result": {"charged": 100, "attempt": 2}}
    assert left.key == effect.key == from_another_agent.key == f"v1:{scene.happened[0]}"
    assert (from_another_agent.replayed, from_another_agent.result) == (True, told["result"])
    assert len(scene.happened) == 2
    assert len(set(scene.happened)) == 1


# A coroutine would have to await its statements on PostgreSQL; the windows are those of the blocking face.
@pytest.mark.parametrize("scene", ["sync-sqlite", "sync-postgres"], indirect=True)
@pytest.mark.parametrize("place", ["after-commit-1", "handler-start", "handler-end"])
def test_a_local_effect_killed_anywhere_left_no_rows_and_runs_again(scene: Scene, place: str) -> None:
    """IDE-30, DUR-10: its rows and its record are there together, or neither is."""
    scene.sql("CREATE TABLE bookings (amount integer)")
    with scene.worker(place, safety="local") as first:
        first.at(place)
        first.kill()
    assert scene.sql("SELECT * FROM bookings") == []

    with scene.worker(safety="local") as second:
        assert second.heard()["result"]["charged"] == 100
        assert second.ended() == (0, "")

    assert scene.sql("SELECT * FROM bookings") == [(100,)]
    with scene.ledger() as ledger:
        [effect] = ledger.effects()
        assert (effect.state, effect.attempt) == (State.SUCCEEDED, 2)
        assert ledger.verify().ok


def test_the_first_table_has_no_row_that_is_not_understood() -> None:
    """DUR-10: every cell that the kill test reads is one of those that it can judge."""
    for on_record, in_the_world, next_call in WINDOWS.values():
        assert re.fullmatch(r"nothing|`(pending|succeeded)`", on_record)
        assert in_the_world in {"nothing", "perhaps", "done"}
        assert next_call in {
            "executes",
            "gets the recorded result",
            "waits for the lease, then `unknown`",
        }
