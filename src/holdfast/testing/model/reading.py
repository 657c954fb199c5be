"""Reads JSON that somebody else has written: what has another type than it should is as good as absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from holdfast.testing.model.requests import Spoken

Json: TypeAlias = "dict[str, Any]"


class Unfit(Exception):
    """A request that a provider would refuse.

    Args:
        message: What is wrong with it.
        param: Which of its fields is meant; empty if none is.
        status: Of HTTP.
        code: What the provider calls it; empty for what goes with the status.
    """

    def __init__(self, message: str, param: str = "", *, status: int = 400, code: str = "") -> None:
        super().__init__(message)
        self.message, self.param, self.status, self.code = message, param, status, code


def mapping(value: object) -> Json:
    """Return *value* if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[Json]:
    """Return the objects in *value*, if it is an array."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Json", item) for item in items if isinstance(item, dict)]


def string(value: object) -> str:
    """Return *value* if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def strings(value: object) -> tuple[str, ...]:
    """Return the strings in *value*, which may be one itself."""
    if isinstance(value, str):
        return (value,)
    items = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))


def limit(body: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of the limits *names* that *body* has.

    Raises:
        Unfit: It is no positive integer.
    """
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise Unfit(f"{name}: a positive integer is needed", name)
        return value
    return None


def required(body: Mapping[str, Any], name: str) -> Any:
    """Return a field of *body*.

    Raises:
        Unfit: There is none, or nothing is in it.
    """
    value = body.get(name)
    if not value:
        raise Unfit(f"{name}: this field is required", name)
    return value


def model_of(body: Mapping[str, Any]) -> str:
    """Return the name of the model that is asked.

    Raises:
        Unfit: There is none.
    """
    name = required(body, "model")
    if not isinstance(name, str):
        raise Unfit("model: a string is needed", "model")
    return name


def plain_text(content: object) -> str:
    """Return the text of a message's content, in whichever form it is."""
    if isinstance(content, str):
        return content
    return "".join(string(part.get("text")) or string(part.get("refusal")) for part in objects(content))


def check_pairs(conversation: Sequence[Spoken], param: str, *, in_order: bool = True) -> None:
    """Let each call have its result, and each result its call.

    Args:
        conversation: What was said.
        param: The field that it came in.
        in_order: Whether the results of a turn's calls come right after it.

    Raises:
        Unfit: A call or a result is without the other.
    """
    waiting: dict[str, None] = {}
    for one in conversation:
        if one.role == "tool":
            if one.answers not in waiting:
                raise Unfit(f"{param}: the result for {one.answers!r} answers no call before it", param)
            del waiting[one.answers]
        elif in_order:
            _refuse(waiting, param)
        waiting |= dict.fromkeys(one.calls)
    _refuse(waiting, param)


def _refuse(waiting: Mapping[str, None], param: str) -> None:
    if waiting:
        raise Unfit(f"{param}: no results for the calls {', '.join(map(repr, waiting))}", param)
