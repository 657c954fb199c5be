"""Which effect an ID on the command line means: a key, or enough of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from holdfast.cli.exits import Refused
from holdfast.cli.output import say
from holdfast.errors import EffectNotFound
from holdfast.ledger import EffectRecord

CANDIDATES: Final = 10
_PREFIX: Final = re.compile(r"(?:v1:)?([0-9a-f]{6,64})", re.IGNORECASE)


def key_prefix(text: str) -> str | None:
    """Return the start of a key that *text* stands for; ``None`` when it cannot be one."""
    found = _PREFIX.fullmatch(text.strip())
    return None if found is None else f"v1:{found[1].lower()}"


def demand_key_prefix(text: str) -> str:
    """Return the start of a key that *text* stands for.

    Raises:
        Refused: It can be no key.
    """
    prefix = key_prefix(text)
    if prefix is None:
        what = f"{text!r} is not a key"
        raise Refused(what, "give `v1:` and 64 hex digits, or the first 6 or more; see `holdfast effects`")
    return prefix


def only(found: Sequence[EffectRecord], text: str) -> EffectRecord:
    """Return the one effect among those whose keys start with *text*.

    Raises:
        EffectNotFound: There is none.
        Refused: There are several; they were listed on stderr.
    """
    if not found:
        raise EffectNotFound(text)
    if len(found) == 1:
        return found[0]
    for record in found[:CANDIDATES]:
        say(f"  {record.key}  {record.state}  {record.tool}  {record.workflow_id}")
    if len(found) > CANDIDATES:
        say("  ...")
    raise Refused(f"{text!r} is the start of more than one key", "give more digits of the one you mean")
