"""What a request to a model can use at most, read from its body before it is sent.

Everything in the body counts, except for a few fields that no model sees; so what is new there is counted,
too. What is *not* in the body but read all the same, such as a stored conversation or the pages of a PDF,
is bounded by the model's context window alone; without one nothing can be said, and that is what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast._core.token_bound import (
    IMAGE_CEILING,
    PER_OBJECT,
    PER_REQUEST,
    PER_TOOL,
    REWRITTEN,
    SCHEMA_PROMPT,
    SEALED,
    TOOL_PROMPT,
    Maker,
    image_bound,
    structured_bound,
    text_bound,
)
from holdfast._core.usage import is_count
from holdfast._core.usage_wire import WireFormat
from holdfast._core.wire import Object, is_array, is_object, object_of
from holdfast._core.worst_cost import Keeping, RequestBound, Unbounded

_UNSEEN: Final = frozenset(
    {"model", "metadata", "stream", "stream_options", "user", "safety_identifier", "store", "include"}
    | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "service_tier", "inference_geo"}
    | {"max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p", "n", "seed"}
)
_KEPT_ELSEWHERE: Final = frozenset({"previous_response_id", "conversation", "prompt", "container"})
_OTHER_MODELS: Final = frozenset({"fallbacks", "models", "plugins", "advisor", "image_generation"})
_TOOL_LISTS: Final = frozenset({"tools", "functions"})
_SCHEMAS: Final = frozenset({"response_format", "output_format", "output_config"})
_DATA: Final = frozenset({"arguments", "parameters", "input_schema", "schema", "format", "action"})
_SEALED: Final = frozenset({"encrypted_content", "signature", "data", "encrypted_index"})
_REFERENCES: Final = frozenset({"file_id", "file_url", "vector_store_ids", "container_id"})
_UNREAD: Final = frozenset(  # blocks whose text is with the provider, not in the request
    {"item_reference", "file", "input_file", "container_upload"}
    | {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"}
)
_OURS: Final = ("function", "custom", "local_shell", "apply_patch", "computer", "namespace")
_OURS_BUILT_IN: Final = ("bash_", "text_editor_", "computer_", "memory_", "browser_")
_PRICED_TOOLS: Final = ("web_search", "file_search", "code_interpreter")
_MOST_COUNTED: Final = 200_000
"""Tokenizers can take very long over longer texts."""
_PREFIX: Final = "base64,"


def request_bound(
    wire: WireFormat,
    body: Object,
    *,
    context_window: int | None = None,
    rounds: int | None = None,
    batch: bool = False,
    image_ceiling: int = IMAGE_CEILING,
    count: Callable[[str], int] | None = None,
) -> RequestBound | Unbounded:
    """Read what a request can use at most.

    Args:
        wire: The format that *body* is in.
        body: As it will be sent, before it becomes JSON.
        context_window: So many tokens the model takes at most, e.g. ``PriceRow.context_window``. It stands
            in for what the body only refers to.
        rounds: So often the provider may ask its model again by itself, for tools that it executes; each
            time it may read as much as fits. Not needed without such tools.
        batch: Whether it goes into a batch.
        image_ceiling: For images whose size is not in the body.
        count: The model's own tokenizer for words, if there is one; else their bytes count.

    Returns:
        The bound; or why there is none.
    """
    walk = _Walk(
        "anthropic" if wire == "messages" else "openai", str(body.get("model") or ""), image_ceiling, count
    )
    walk.body(body)
    walk.answers(wire, body)
    walk.uses(body)
    if walk.hosted and rounds is None:
        walk.endless += [
            f"{tool}: executed by the provider, and rounds= is not given" for tool in walk.hosted
        ]
    referred = [*walk.unread, *walk.hosted]
    if referred and context_window is None:
        walk.endless += [f"{what}: not in the request, and no context window is known" for what in referred]
    if walk.endless:
        return Unbounded(tuple(walk.endless))
    tokens = max(walk.tokens, context_window or 0) if referred else walk.tokens
    return _bound(wire, body, walk, tokens=tokens, times=1 + (rounds or 0) if walk.hosted else 1, batch=batch)


def _bound(
    wire: WireFormat, body: Object, walk: _Walk, *, tokens: int, times: int, batch: bool
) -> RequestBound:
    answers = times * walk.wanted
    limit = _limit(wire, body)
    return RequestBound(
        input_tokens=tokens * times,
        max_output=None if limit is None else limit * answers,
        answers=answers,
        keeping=_keeping(wire, body, walk),
        audio_in=walk.audio,
        audio_out=_speaks(body.get("modalities")),
        tier=_tier(wire, body),
        batch=batch,
        region=_region(wire, body),
        web_searches=walk.limits["web_search"],
        file_searches=walk.limits["file_search"],
        code_executions=walk.limits["code_interpreter"],
        other_tools=tuple(walk.hosted),
    )


@dataclass(slots=True)
class _Walk:
    """What was found so far on a walk through a body."""

    maker: Maker
    model: str
    image_ceiling: int
    count: Callable[[str], int] | None
    tokens: int = PER_REQUEST
    wanted: int = 1
    audio: bool = False
    kept_long: bool = False
    kept: bool = False
    hosted: list[str] = field(default_factory=list[str])
    unread: list[str] = field(default_factory=list[str])
    endless: list[str] = field(default_factory=list[str])
    limits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_PRICED_TOOLS, 0))
    unlimited: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def body(self, body: Object) -> None:
        for name, value in body.items():
            if name in _UNSEEN or value is None:
                continue
            if name in _OTHER_MODELS:
                self.endless.append(f"{name}: another model with another price")
            elif name in _KEPT_ELSEWHERE:
                self.unread.append(name)
            elif name in _TOOL_LISTS:
                self.tools(name, value)
            elif name == "prediction":  # allows for no limit of the output besides
                self.endless.append(f"{name}: what is not taken of it is paid as output")
            elif name == "context_management" and "compact" in str(value):  # one more answer, by itself
                self.hosted.append(f"{name}: compaction")
            elif name in {"mcp_servers", "web_search_options"}:
                self.hosted.append(name)
                self.limits["web_search"] += name == "web_search_options"  # once for each request
            else:
                self.tokens += SCHEMA_PROMPT * (name in _SCHEMAS or name == "text")
                self.node(value, name, data=name in _SCHEMAS)

    def answers(self, wire: WireFormat, body: Object) -> None:
        """Note how many answers are wanted; what is no number may be read as any."""
        for name in ("n", "best_of") if wire == "chat" else ():
            wanted: Any = body.get(name)
            if is_count(wanted):
                self.wanted = max(self.wanted, wanted)
            elif wanted is not None:
                self.endless.append(f"{name}: no count of answers")

    def tools(self, name: str, tools: Any) -> None:
        self.tokens += TOOL_PROMPT
        for at, tool in enumerate(tools if is_array(tools) else [tools]):
            where = f"{name}[{at}]"
            self.tokens += PER_TOOL + structured_bound(tool)
            self.caching(tool)
            kind = str(object_of(tool).get("type") or "custom")
            if name == "functions" or kind in _OURS:
                continue
            self.tokens += TOOL_PROMPT
            if any(other in kind for other in _OTHER_MODELS):
                self.endless.append(f"{where}: {kind[:40]} asks another model with another price")
            elif not kind.startswith(_OURS_BUILT_IN):
                self.hosted.append(f"{where} {kind[:40]}")
                self.priced(tool, kind, where)

    def priced(self, tool: Any, kind: str, where: str) -> None:
        """Note how often a tool that is paid for by its use may be used."""
        for priced in _PRICED_TOOLS:
            if kind.startswith(priced):
                most = tool.get("max_uses")
                if is_count(most):
                    self.limits[priced] += most
                else:
                    self.unlimited.append((priced, where))

    def uses(self, body: Object) -> None:
        """Let the request's own limit hold for tools without one."""
        most: Any = body.get("max_tool_calls")
        for priced, where in self.unlimited:
            if is_count(most):
                self.limits[priced] += most
            else:
                self.endless.append(f"{where}: it sets no limit for how often it is used")

    def caching(self, node: Any) -> None:
        control = object_of(node).get("cache_control")
        if control is not None:
            self.kept = True
            self.kept_long |= object_of(control).get("ttl", "5m") != "5m"

    def node(self, node: Any, where: str, *, data: bool = False, times: int = 1) -> None:
        """Count what is anywhere in a body but in its tools."""
        if is_object(node):
            self.tokens += PER_OBJECT
            self.block(node, where, data=data, times=times)
        elif is_array(node):
            for at, item in enumerate(node):
                self.node(item, f"{where}[{at}]", data=data, times=times)
        elif isinstance(node, str) and not data:
            self.tokens += times * self.words(node)
        else:
            self.tokens += times * structured_bound(node)

    def block(self, block: Object, where: str, *, data: bool, times: int) -> None:
        self.caching(block)
        kind = str(block.get("type") or "")
        if not data and self.media(block, kind, where):
            return
        times *= REWRITTEN if kind in {"document", "search_result"} else 1
        for name, value in block.items():
            if name == "cache_control":
                continue
            if name == "audio" and is_object(value):
                self.audio = True
                self.unread.append(f"{where}.audio")
            self.tokens += PER_OBJECT + text_bound(str(name))
            if name in _REFERENCES and not data:
                self.unread.append(f"{where}.{name}")
            elif name in _SEALED and isinstance(value, str) and not data:
                self.tokens += SEALED * text_bound(value)
            elif (name in _DATA or (name == "input" and kind != "message")) and not is_array(value):
                self.node(value, f"{where}.{name}", data=True, times=times)
            else:
                self.node(value, f"{where}.{name}", data=data, times=times)

    def media(self, block: Object, kind: str, where: str) -> bool:
        """Count a block that is no text; say whether it is one."""
        source = object_of(block.get("source"))
        match kind:
            case "image":
                self.image(source.get("data") if source.get("type") == "base64" else None)
            case "image_url" | "input_image" | "computer_screenshot" | "output_image":
                named: Any = block.get("image_url")
                url = str(object_of(named).get("url") if is_object(named) else named)
                self.image(url.partition(_PREFIX)[2] if url.startswith("data:") else None)
            case "document" if source.get("type") not in {"text", "content"}:
                self.unread.append(f"{where}: a document")
            case "input_audio" if is_object(block.get("input_audio")):
                self.audio = True
                self.tokens += text_bound(str(object_of(block.get("input_audio")).get("data")))
            case "input_audio" | "audio":
                self.audio = True
                self.unread.append(f"{where}: audio")
            case "reasoning" if not block.get("encrypted_content"):
                self.unread.append(f"{where}: reasoning")
            case _ if kind in _UNREAD:
                self.unread.append(f"{where}: {kind}")
            case _:
                return False
        return True

    def words(self, text: str) -> int:
        bound = text_bound(text)
        return bound if self.count is None or len(text) > _MOST_COUNTED else min(bound, self.count(text))

    def image(self, encoded: Any) -> None:
        data = encoded if isinstance(encoded, str) else None
        self.tokens += image_bound(self.maker, data, model=self.model, ceiling=self.image_ceiling)


def _limit(wire: WireFormat, body: Object) -> int | None:
    """Return the output's limit; the larger where two are named, and none where one is no count."""
    names = {"messages": ("max_tokens",), "responses": ("max_output_tokens",)}
    given = [body.get(name) for name in names.get(wire, ("max_completion_tokens", "max_tokens"))]
    counts = [value for value in given if is_count(value)]
    return max(counts, default=None) if len(counts) == len(given) - given.count(None) else None


def _speaks(modalities: Any) -> bool:
    """Whether some of the answer may be audio."""
    return modalities is not None and (not is_array(modalities) or "audio" in modalities)


def _keeping(wire: WireFormat, body: Object, walk: _Walk) -> Keeping:
    if wire == "messages":
        walk.caching(body)
        return "long" if walk.kept_long else "short" if walk.kept else "none"
    life = object_of(body.get("prompt_cache_options")).get("ttl")
    return "short" if life is None or life == "30m" else "long"  # newer models keep without being asked


def _tier(wire: WireFormat, body: Object) -> str | None:
    if wire == "messages":
        return "fast" if body.get("speed") == "fast" else "standard"
    match body.get("service_tier"):
        case "default" | "standard":
            return "standard"
        case "fast":  # is called so in requests, and priority in answers
            return "priority"
        case "flex" | "priority" | "scale" as tier:
            return str(tier)
        case _:  # a setting of their project decides
            return None


def _region(wire: WireFormat, body: Object) -> str | None:
    if wire != "messages":
        return ""
    named = body.get("inference_geo")
    if named is None:  # a setting of their workspace decides
        return None
    return "" if named == "global" else str(named)
