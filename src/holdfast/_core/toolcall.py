"""What did the model ask for? Any provider's tool call becomes a :class:`ToolCall` here.

No SDK is imported: a call is known by its fields, as an object or as a dict. What is not clearly one
finished call of ours is refused, since a wrong guess here would be executed in the world.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, TypeAlias, cast

from holdfast._core.call_context import CallContext, InfoAnswer
from holdfast._core.model import ToolCall
from holdfast.errors import InvalidCall
from holdfast.errors.approvals import ANSWER

MAX_TEXT_BYTES: Final = 10_000_000
"""Arguments that arrive as text may have this many bytes of UTF-8."""

_Args: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Where one kind of call keeps its parts."""

    args: str
    name: str = "name"
    call_id: str = "id"
    body: str = ""  #: the part that holds name and arguments, when the call itself does not
    space: str = ""  #: the field that goes in front of the name
    is_text: bool = False  #: the arguments are free text rather than an object or its JSON text
    may_omit_args: bool = False  #: no such field means no arguments; elsewhere, that this is no call


_CHAT: Final = _Shape(body="function", args="arguments")
_PART: Final = _Shape(name="tool_name", args="args", call_id="tool_call_id")
_PLAIN: Final = _Shape(args="args")
_MCP: Final = _Shape(args="arguments", may_omit_args=True)

_BY_TYPE: Final = {
    "function": _CHAT,  # OpenAI chat, litellm
    "custom": _Shape(body="custom", args="input", is_text=True),
    # OpenAI responses: `id` names the item within the response, `call_id` the call
    "function_call": _Shape(args="arguments", call_id="call_id", space="namespace"),
    "custom_tool_call": _Shape(args="input", call_id="call_id", space="namespace", is_text=True),
    "tool_use": _Shape(args="input", space="toolset_name"),  # Anthropic
    "tool_call": _PLAIN,  # LangChain
    "tool-call": _PART,  # pydantic-ai
}
"""By the call's own ``type`` (pydantic-ai: ``part_kind``)."""

_BY_FIELDS: Final = (
    (
        ("tool_name", "tool_arguments"),  # openai-agents' ToolContext
        _Shape(name="tool_name", args="tool_arguments", call_id="tool_call_id", space="tool_namespace"),
    ),
    (("tool_name", "args"), _PART),
    (("function",), _CHAT),
    (("name", "arguments"), _MCP),
    (("name", "args", "id"), _PLAIN),  # Gemini; LangChain's *tools* have name and args too, but no id
)
"""A call without a type: the first row whose fields are all there."""

_OTHERS_WORK: Final = ("is executed by the provider", "leave it alone: there is nothing to run here")
_PIECE: Final = ("is still being streamed", "pass the call once it is complete")
_ANSWER: Final = ("is the answer to a call", "pass the call itself")
_REFUSED_TYPES: Final = {
    "invalid_tool_call": ("has arguments that LangChain could not parse", "send its error back to the model"),
    "tool_call_chunk": _PIECE,
    **dict.fromkeys(("tool_result", "function_call_output", "tool-return"), _ANSWER),
    **dict.fromkeys(("server_tool_use", "mcp_tool_use"), _OTHERS_WORK),  # Anthropic
    **dict.fromkeys(("mcp_call", "mcp_approval_request", "hosted_tool_call"), _OTHERS_WORK),  # OpenAI
    **dict.fromkeys(("server_tool_call", "builtin-tool-call"), _OTHERS_WORK),  # LangChain, pydantic-ai
}
_HOLDERS: Final = {
    "tool_calls": "its .tool_calls",
    "choices": "its .choices[0].message.tool_calls",
    "output": "the 'function_call' items of its .output",
    "candidates": "its .function_calls",
    "content": "the 'tool_use' blocks of its .content",
    "parts": "the calls among its .parts",
}
"""Fields in which messages and responses keep their calls, and what to pass instead."""

# openai-agents' run items, LangGraph's ToolCallRequest, Gemini's Part: each holds exactly one call
_WRAPPERS: Final = ("raw_item", "tool_call", "function_call", "functionCall")
_MORE_TO_COME: Final = ("will_continue", "willContinue", "partial_args", "partialArgs")  # Gemini
_ABSENT: Final = object()
_SUPPORTED: Final = (
    "pass one call of OpenAI, Anthropic, Gemini, LangChain, openai-agents, pydantic-ai, MCP or litellm, "
    "or ToolCall(tool=..., args={...})"
)


def read_tool_call(source: object, *, workflow_id: str | None = None) -> ToolCall:
    """Return *source* as a :class:`ToolCall`, whichever provider or framework it comes from.

    Pass finished calls: in some SDKs a call whose arguments are still on their way looks like a call
    without arguments.

    * A namespace or toolset goes in front of the tool's name: ``namespace.name``. One that equals the
      name is left out, because that is how OpenAI marks a deferred function.
    * The provider's id is kept as ``call_id``. It names one answer of the model, not one intent, so it
      is never part of the identity. MCP has none.
    * Arguments are an object, its JSON text, or nothing (``None`` or ``""``), which is ``{}``. In JSON
      text integers stay exact and other numbers become floats (``10.10`` is 10.1): let the model send
      money as integers or strings.
    * ``holdfast_answer`` is no argument: what a model answers there to people who ask about the call before
      they decide is in ``context.answer``.
    * A custom tool's free text becomes ``{"input": text}``.

    Args:
        source: One call, as an object or a dict. A :class:`ToolCall` is returned as it is.
        workflow_id: The execution that it belongs to, when the call does not say.

    Raises:
        InvalidCall: It is not one complete call, its name or arguments cannot be used, or it belongs
            to another workflow. Argument values are never shown.
    """
    if type(source) is ToolCall:
        return _in_workflow(source, workflow_id)
    try:
        return _read(source, workflow_id)
    except InvalidCall:
        raise
    except Exception as error:  # the caller's objects run code of their own, which may raise anything
        what = f"reading a {type(source).__name__} as a tool call raised {type(error).__name__}"
        raise InvalidCall(what, _SUPPORTED) from error


def _in_workflow(call: ToolCall, workflow_id: str | None) -> ToolCall:
    if not call.tool:
        _refuse("the ToolCall names no tool", "pass ToolCall(tool=..., args={...})")
    if not workflow_id or call.workflow_id == workflow_id:
        return call
    if call.workflow_id:
        ids = f"{_shown(call.workflow_id)}, not to {_shown(workflow_id)}"
        _refuse(f"the call belongs to workflow {ids}", "give the workflow_id once, or the same twice")
    return replace(call, workflow_id=workflow_id)


def _read(source: object, workflow_id: str | None) -> ToolCall:
    for _ in range(3):  # at most two wrappers, for an object may hold itself
        if isinstance(source, ToolCall):
            return _in_workflow(source, workflow_id)
        kind = _kind(source)
        shape = _shape(source, kind)
        if shape is None and _look(source, "method") == "tools/call":
            source, shape = _look(source, "params"), _MCP
        if shape is not None:
            return _build(source, shape, workflow_id)
        inner = next((inner for field in _WRAPPERS if (inner := _look(source, field)) is not None), None)
        if inner is None or kind in _REFUSED_TYPES or _calls_in(source):
            raise _not_a_call(source, kind)
        source = inner
    raise _not_a_call(source, kind=None)


def _look(source: object, field: str, absent: object = None) -> object:
    if isinstance(source, dict) or isinstance(source, Mapping):  # noqa: SIM101 - the ABC's check is slow
        return cast("Mapping[object, object]", source).get(field, absent)
    return getattr(source, field, absent)


def _has(source: object, field: str) -> bool:
    return _look(source, field, _ABSENT) is not _ABSENT


def _kind(source: object) -> str | None:
    kinds = (_look(source, field) for field in ("type", "part_kind"))
    return next((kind for kind in kinds if isinstance(kind, str) and kind), None)


def _shape(source: object, kind: str | None) -> _Shape | None:
    if kind is not None:
        return _BY_TYPE.get(kind)
    for fields, shape in _BY_FIELDS:
        if all(_has(source, field) for field in fields):
            return shape
    return _PLAIN if isinstance(source, Mapping) and {"name", "args"} <= source.keys() else None


def _build(source: object, shape: _Shape, workflow_id: str | None) -> ToolCall:
    found = type(source).__name__
    body = _look(source, shape.body) if shape.body else source
    name, args = _look(body, shape.name), _look(body, shape.args)
    if not isinstance(name, str) or not name.strip():
        _refuse(f"the {found} names no tool", f"pass a call whose {shape.name!r} is the tool's name")
    if args is None and not shape.may_omit_args and not _has(body, shape.args):
        fix = f"pass the model's call with its {shape.args!r}, not the tool's definition"
        _refuse(f"the {found} for tool {_shown(name)} has no {shape.args!r}", fix)
    if _is_unfinished(source, shape, args):
        _refuse(f"the {found} for tool {_shown(name)} {_PIECE[0]}", _PIECE[1])
    call_id = _look(source, shape.call_id)
    if not isinstance(call_id, str | None):
        what = f"the call id of tool {_shown(name)} is a {type(call_id).__name__}"
        _refuse(what, "pass it as text, or leave it out: it is only recorded")
    space = _look(source, shape.space) if shape.space else None
    given = _text_args(args, name) if shape.is_text else _object_args(args, name)
    given, context = _without_answer(given, name)
    return ToolCall(
        workflow_id=workflow_id or "",
        tool=f"{space}.{name}" if isinstance(space, str) and space and space != name else name,
        args=given,
        call_id=call_id or None,
        context=context,
    )


def _is_unfinished(source: object, shape: _Shape, args: object) -> bool:
    """Tell a piece of a stream, which may read as a call without arguments, from a whole call."""
    return (
        _look(source, "status") in ("in_progress", "incomplete")
        or (args in ("", None) and _look(source, "index") is not None)  # the first delta of OpenAI chat
        or (shape is _PLAIN and any(_look(source, field) for field in _MORE_TO_COME))
    )


def _text_args(value: object, tool: str) -> _Args:
    if not isinstance(value, str):
        what = f"the input of custom tool {_shown(tool)} is a {type(value).__name__}"
        _refuse(what, "pass the text that the model wrote")
    _refuse_large(value, tool)
    return {"input": value}


def _object_args(value: object, tool: str) -> _Args:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        return _parsed(value, tool)
    if not isinstance(value, Mapping) and callable(dump := getattr(value, "model_dump", None)):
        # Anthropic types the input of its own toolsets. What the model did not send stays out, or the
        # SDK's next release, with one more optional field, would give the same call another identity.
        value = dump(by_alias=True, exclude_unset=True)
    if not isinstance(value, Mapping):
        what = f"the arguments of tool {_shown(tool)} are a {type(value).__name__}, not an object"
        _refuse(what, "pass a dict of arguments by name, or its JSON text")
    return cast("_Args", value)  # the keys are checked where the arguments get their identity


def _without_answer(args: _Args, tool: str) -> tuple[_Args, CallContext | None]:
    """Return the tool's own arguments, and what the model answers to people who ask before they decide."""
    if ANSWER not in args:
        return args, None
    given: object = args[ANSWER]
    to, text = _look(given, "to"), _look(given, "text")
    if not isinstance(given, Mapping) or not isinstance(to, str) or not isinstance(text, str):
        _refuse(f"{ANSWER} of tool {_shown(tool)} is no answer", 'give {"to": "...", "text": "..."}')
    rest = {name: value for name, value in args.items() if name != ANSWER}
    return rest, CallContext(answer=InfoAnswer(to=to, text=text))


def _parsed(text: str, tool: str) -> _Args:
    _refuse_large(text, tool)
    value: object = None
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
        why = "" if isinstance(value, dict) else "are JSON, but not an object"
    except json.JSONDecodeError as error:
        why = f"are not JSON ({error.msg.removesuffix(' at')} at character {error.pos})"
    except RecursionError:
        why = "are nested too deeply"
    except ValueError as error:
        why = f"cannot be used ({error})"
    if why:  # refused out here: a JSONDecodeError in the traceback would carry the whole text along
        _refuse(f"the arguments of tool {_shown(tool)} {why}", "let the model send one complete JSON object")
    return cast("_Args", value)  # a dict, and JSON's keys are strings


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):  # parsers disagree on which of the two counts
        msg = "an object has the same key twice"
        raise ValueError(msg)
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        msg = "a number is infinite, or none at all"
        raise ValueError(msg)
    return number


def _refuse_large(text: str, tool: str) -> None:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_TEXT_BYTES:
        what = f"the arguments of tool {_shown(tool)} have {size:,} bytes, more than {MAX_TEXT_BYTES:,}"
        _refuse(what, "let the model pass a reference (a path, a URL, an id) instead of the content")


def _not_a_call(source: object, kind: str | None) -> InvalidCall:
    found = f"a {type(source).__name__}" + (f" of type {_shown(kind)}" if kind else "")
    if kind in _REFUSED_TYPES:
        why, fix = _REFUSED_TYPES[kind]
        return InvalidCall(f"{found} {why}", fix)
    if calls := _calls_in(source):
        return InvalidCall(f"{found} is not one call", f"pass {calls} one by one, or all to ledger.turn")
    return InvalidCall(f"{found} is not a tool call", _SUPPORTED)


def _calls_in(source: object) -> str | None:
    if isinstance(source, list | tuple):
        return "its items"
    return next((calls for field, calls in _HOLDERS.items() if isinstance(_look(source, field), list)), None)


def _refuse(what: str, fix: str) -> NoReturn:
    raise InvalidCall(what, fix)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")  # noqa: PLR2004 - fits a line of a terminal
