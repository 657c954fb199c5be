"""DUR-11, STA-15: what earlier releases left in databases is gone on with by the code of today, on its recorded path."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import NonDeterminism
from recorded.recording import DIALECTS, HERE, Recording, gone_on_with, read, site_of, version
from recorded.samples import SAMPLES

RECORDINGS = [read(path) for path in sorted(HERE.glob("*/*.json"))]


def kinds(recording: Recording) -> list[str]:
    """The ledgers that can go on with it; the memory store takes over what SQLite left."""
    stores = ["memory", "sqlite"] if recording.dialect == "sqlite" else ["postgres"]
    return stores if recording.sample.is_async else [*stores, *(f"sync-{store}" for store in stores)]


EACH = [
    pytest.param(recording, kind, id=f"{recording.release}-{recording.name}-{kind}")
    for recording in RECORDINGS
    for kind in kinds(recording)
]


@pytest.fixture
def where(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> str:
    """An empty database of the kind."""
    return str(request.getfixturevalue("postgres_url") if "postgres" in kind else tmp_path / "ledger.db")


@pytest.mark.parametrize(("recording", "kind"), EACH)
async def test_what_a_release_left_is_gone_on_with_as_that_release_would_have(
    recording: Recording, kind: str, where: str
) -> None:
    """DUR-11, DUR-02, STA-15: the same outputs, and nothing that is on record runs again, whoever goes on with it.

    So it fails when keys, fingerprints, the places of branches or the counting of equal steps change.
    """
    site = await site_of(recording, kind, where)
    try:
        came = await gone_on_with(site, recording.sample)
    finally:
        await site.close()

    assert came == {"calls": recording.calls, "ends": recording.ends, "effects": recording.effects}


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
async def test_a_recorded_execution_is_not_gone_on_with_by_other_code(kind: str, where: str) -> None:
    """DUR-05: the control: what was loaded is a record like any other, and a misfit is found out."""
    dialect = "postgres" if kind == "postgres" else "sqlite"
    [recording] = [each for each in RECORDINGS if (each.name, each.dialect) == ("loops", dialect)][-1:]
    site = await site_of(recording, kind, where)
    process = site.open()

    async def loops(ctx: object, items: list[str]) -> None:
        await ctx.step("another", lambda: None)

    process.workflow(loops)
    await process.signal("loops-1", "go")
    with pytest.raises(NonDeterminism, match="step 'poll'"):
        await process.driven("loops-1")
    await site.close()


def test_each_sample_is_recorded_for_the_release_to_come() -> None:
    """DUR-11: no release goes out without a record of what it leaves in databases: tools/record_executions.py."""
    found = {
        (recording.name, recording.dialect) for recording in RECORDINGS if recording.release == version()
    }

    assert found == {(name, dialect) for name in SAMPLES for dialect in DIALECTS}


def test_what_is_recorded_has_every_kind_of_step_in_every_state() -> None:
    """DUR-11: a format that is in no recording could change unnoticed."""
    for dialect in DIALECTS:
        steps = [
            step
            for recording in RECORDINGS
            if (recording.release, recording.dialect) == (version(), dialect)
            for step in recording.rows.get("holdfast_step", ())
        ]
        assert {step["kind"] for step in steps} == {
            "step",
            "effect",
            "sleep",
            "wait",
            "value",
            "gate",
            "child",
        }
        assert {step["state"] for step in steps} == {"pending", "succeeded", "failed"}
        assert any(step["occurrence"] for step in steps)
