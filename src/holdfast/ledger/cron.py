"""Timetables: workflows that begin by the clock, once per time, however many workers look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from holdfast._core.value import value
from holdfast.errors import InvalidTool, MissingExtra


@value
class Cron:
    """When a workflow begins, and how.

    Attributes:
        expression: Five fields of cron; six with seconds first.
        zone: By whose clock.
        catch_up_s: A worker that starts makes good what was missed for so long.
        enqueue: Puts the workflow of an id into the ledger.
    """

    name: str
    expression: str
    zone: tzinfo
    catch_up_s: float
    enqueue: Callable[[str], Awaitable[None]]

    def first(self, now: datetime) -> datetime:
        """Return the first time that a worker that starts *now* has to see to."""
        return self.after(now - timedelta(seconds=self.catch_up_s))

    def after(self, moment: datetime) -> datetime:
        """Return the next time after *moment* (aware, UTC)."""
        found: datetime = next(_times(self.expression, moment.astimezone(self.zone)))
        return found.astimezone(UTC)

    async def start(self, due: datetime) -> None:
        """Begin the workflow of one time, unless it was begun."""
        await self.enqueue(f"{self.name}@{due.isoformat(timespec='seconds')}")


def _times(expression: str, after: datetime) -> Any:
    try:
        from cronsim import CronSim  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("worker", "cronsim") from error
    return CronSim(expression, after)


def checked(expression: str) -> str:
    """Return a cron expression.

    Raises:
        InvalidTool: It is none, or never comes.
        MissingExtra: The package that reads it is not installed.
    """
    try:
        next(_times(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except MissingExtra:
        raise
    except Exception as error:
        what = f"timetable {expression!r} cannot be read ({error or type(error).__name__})"
        raise InvalidTool(what, 'give five fields of cron, e.g. "0 9 * * mon-fri"') from error
    return expression
