"""``holdfast show --diff``: where a payload differs from the recorded one, with the values redacted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, Literal

from holdfast._core.canonical import nfc, path
from holdfast._core.identity import differing_paths, read_args
from holdfast._core.model import JSON
from holdfast._core.redact import HIDDEN, redact_names
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import Line, compact, counted, listing, say
from holdfast.errors import InvalidCall, NotSerializable
from holdfast.ledger import EffectRecord
from holdfast.settings import from_environment

Steps = tuple[str | int, ...]
_ABSENT: Final = object()
_HEADS: Final = ("path", "kind", "recorded", "offered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where two payloads differ.

    Attributes:
        kind: ``added`` stands in the offered payload only, ``removed`` in the recorded one only.
        recorded: The value there, redacted.
        offered: The value there, redacted.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    recorded: Any
    offered: Any


def show_differences(record: EffectRecord, payload: IO[str], *, as_json: bool) -> None:
    """Print where the arguments in *payload* differ from the recorded ones.

    Raises:
        Refused: One of the two cannot be read.
    """
    if record.args is None:
        what = f"the recorded arguments of {record.key} cannot be read"
        raise Refused(what, "they are sealed with a codec, or erased", Exit.FAILED)
    found = list(differences(record.args, _read(payload)))
    lines = [
        Line(
            fields={"path": item.path, "kind": item.kind, "recorded": item.recorded, "offered": item.offered},
            cells=(
                item.path,
                item.kind,
                "" if item.kind == "added" else compact(item.recorded),
                "" if item.kind == "removed" else compact(item.offered),
            ),
        )
        for item in found
    ]
    listing(_HEADS, lines, as_json=as_json)
    many = counted(len(found), "difference") if found else "no difference"
    say(f"{many} from {record.key}")


def differences(recorded: Mapping[str, Any], offered: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare two payloads as the ledger does; give the values without what must not be shown."""
    places = {path(steps): steps for steps in (*_places(recorded, ()), *_places(offered, ()))}
    shown = redact_names(recorded), redact_names(offered)
    for place in differing_paths(recorded, offered):
        before, after = (_at(value, places[place]) for value in shown)
        yield Difference(
            path=place,
            kind="added" if before is _ABSENT else "removed" if after is _ABSENT else "changed",
            recorded=None if before is _ABSENT else before,
            offered=None if after is _ABSENT else after,
        )


def _read(payload: IO[str]) -> Mapping[str, Any]:
    fix = 'give the call\'s arguments as one JSON object, e.g. {"amount": 100}'
    name = str(getattr(payload, "name", "the payload"))
    try:
        offered: object = json.load(payload)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} holds no JSON", fix) from error
    try:
        return read_args(offered, max_bytes=from_environment().max_args_bytes).plain
    except (InvalidCall, NotSerializable) as error:
        raise Refused(f"{name} holds no arguments: {error}", fix) from error


def _places(value: JSON, here: Steps) -> Iterator[Steps]:
    yield here
    for step, item in _members(value).items():
        yield from _places(item, (*here, step))


def _members(value: JSON) -> dict[str | int, JSON]:
    match value:
        case str():
            return {}
        case Mapping():
            return {nfc(name): item for name, item in value.items()}
        case Sequence():
            return dict(enumerate(value))
        case _:
            return {}


def _at(value: JSON, steps: Steps) -> Any:
    for step in steps:
        if value == HIDDEN:
            return HIDDEN
        members = _members(value)
        if step not in members:
            return _ABSENT
        value = members[step]
    return value
