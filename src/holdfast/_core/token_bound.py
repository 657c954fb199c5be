"""How many tokens something can be at most, without a tokenizer.

The argument: tokenizers of today's models cut text into pieces of at least one byte each. Byte-level BPE
(OpenAI's, Llama 3's, Qwen's, by all that is known Anthropic's) begins with single bytes and only ever merges
them; SentencePiece with byte fallback does so for what it has no piece for. So tokens <= bytes in UTF-8, of
the text as the tokenizer sees it. Some see it normalised (NFC, NFKC), which can make it longer: U+FDFA is
three bytes, and 33 as NFKC. The bound is therefore the largest of the three forms. It is loose, some three to
four times for English; what is held too much goes back when the call is settled.

What the provider wraps around the text is not in the request. It is covered by allowances, stated here, well
above what is documented (2026-11): 3 tokens per message and 3 per answer for chat models, up to some 800 for
the hidden instructions for tools, up to some 750 for a built-in tool.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any, Final, Literal, TypeAlias

from holdfast._core.image_size import image_size
from holdfast._core.wire import is_array, is_object

Maker: TypeAlias = Literal["openai", "anthropic"]
"""Whose formula for images holds."""

PER_REQUEST: Final = 256
PER_OBJECT: Final = 16
"""For a message, a part of one, a member of data: its role, its markers, its tag."""
PER_TOOL: Final = 64
TOOL_PROMPT: Final = 2_048
"""Once for having tools at all, and for each built-in tool, whose text only the provider knows."""
SCHEMA_PROMPT: Final = 1_024
"""For an answer that has to fit a schema."""
REWRITTEN: Final = 2
"""Data is shown to models as another text, documents with marks for citing: at most twice as long."""
SEALED: Final = 4
"""What is encrypted may have been compressed before: at most by so much."""
IMAGE_CEILING: Final = 50_000
"""For an image whose size is not in the request. The documented formulas of 2026-11 stay below it up to some
40 megapixels."""

_ANTHROPIC_IMAGE: Final = 5_000  # larger ones are scaled down; documented are 4,784 at most
_ANTHROPIC_SIDE: Final = 27  # pixels per token and side: documented are 28, and width x height / 750 before
_OPENAI_SIDE: Final = 32
_OPENAI_TIMES: Final = 5  # half as often as this: the largest documented multiplier is 2.46
_OPENAI_TILES: Final = 1_445  # 85 + 8 x 170: eight tiles are the most after scaling down
_OPENAI_TILES_MINI: Final = 48_169  # gpt-4o-mini: 2,833 + 8 x 5,667


def text_bound(text: str) -> int:
    """Return how many tokens *text* can be at most, as a message's own words."""
    if text.isascii():
        return len(text)
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)


def structured_bound(value: Any) -> int:
    """Return how many tokens data can be at most, however the provider writes it out for the model."""
    escaped = json.dumps(value, ensure_ascii=True, default=str)
    longest = max(len(escaped), text_bound(json.dumps(value, ensure_ascii=False, default=str)))
    return REWRITTEN * longest + PER_OBJECT * _members(value)


def _members(value: Any) -> int:
    """How many names and items it has: each may get a tag of its own."""
    count = 0
    left: list[Any] = [value]
    while left:
        item = left.pop()
        inner = list(item.values()) if is_object(item) else list(item) if is_array(item) else []
        count += len(inner)
        left += inner
    return count


def image_bound(maker: Maker, encoded: str | None, *, model: str = "", ceiling: int = IMAGE_CEILING) -> int:
    """Return how many tokens an image can be at most, by the documented formulas.

    Args:
        maker: Whose model reads it.
        encoded: The image in base64, if it is in the request.
        model: Which model; one of OpenAI's counts images dearer than all others.
        ceiling: For an image whose size cannot be read from the request.
    """
    size = None if encoded is None else image_size(encoded)
    if maker == "anthropic":
        if size is None:
            return _ANTHROPIC_IMAGE
        return min(_ANTHROPIC_IMAGE, _squares(size, _ANTHROPIC_SIDE))
    if size is None:
        return ceiling
    tiles = _OPENAI_TILES_MINI if not model or "gpt-4o-mini" in model else _OPENAI_TILES
    return max(tiles, math.ceil(_squares(size, _OPENAI_SIDE) * _OPENAI_TIMES / 2))


def _squares(size: tuple[int, int], side: int) -> int:
    width, height = size
    return -(-width // side) * -(-height // side)
